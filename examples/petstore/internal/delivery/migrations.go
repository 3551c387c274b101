package delivery

import (
	"embed"
	"io/fs"
)

//go:embed migrations/*.sql
var embedded embed.FS

// Migrations are delivery's own tables.
func Migrations() fs.FS {
	files, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return embedded // cannot happen: the folder is embedded under this very name
	}
	return files
}
