package order

import (
	"embed"
	"io/fs"
)

//go:embed migrations/*.sql
var files embed.FS

// Migrations are the order service's own tables; the saga's come with its store.
func Migrations() fs.FS {
	sub, err := fs.Sub(files, "migrations")
	if err != nil { // cannot happen: the name is a valid path
		return files
	}
	return sub
}
