package catalog

import (
	"embed"
	"io/fs"
)

//go:embed migrations/*.sql
var files embed.FS

// Migrations are the catalog's tables and its first pets.
func Migrations() fs.FS {
	sub, err := fs.Sub(files, "migrations")
	if err != nil { // cannot happen: the name is a valid path
		return files
	}
	return sub
}
