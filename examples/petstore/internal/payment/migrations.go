package payment

import (
	"embed"
	"io/fs"
)

//go:embed migrations
var embedded embed.FS

// Migrations are payment's own tables, in a folder per engine because the ledger is guarded by triggers.
func Migrations() fs.FS {
	files, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return embedded // cannot happen: the folder is embedded under this very name
	}
	return files
}
