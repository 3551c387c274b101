package order

import (
	"embed"
	"io/fs"
)

//go:embed migrations
var files embed.FS

// Migrations are the order service's own tables, in a folder per engine because events are guarded by triggers; the saga's tables come
// with its store.
func Migrations() fs.FS {
	sub, err := fs.Sub(files, "migrations")
	if err != nil { // cannot happen: the name is a valid path
		return files
	}
	return sub
}
