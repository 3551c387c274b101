package inbox

import (
	"embed"
	"io/fs"
)

// MigrationsName is the name of [Migrations] in the database.
const MigrationsName = "inbox"

//go:embed migrations
var files embed.FS

// Migrations are the inbox's tables, for migrate.Up under [MigrationsName].
func Migrations() fs.FS {
	sub, err := fs.Sub(files, "migrations")
	if err != nil { // cannot happen: the name is a valid path
		return files
	}
	return sub
}
