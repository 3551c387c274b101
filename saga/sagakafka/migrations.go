package sagakafka

import (
	"embed"
	"io/fs"
)

// MigrationsName is the name of [Migrations] in the database.
const MigrationsName = "saga_participant"

//go:embed migrations
var files embed.FS

// Migrations are the participant's table, for migrate.Up under [MigrationsName]. A caller needs none.
func Migrations() fs.FS {
	sub, err := fs.Sub(files, "migrations")
	if err != nil { // cannot happen: the name is a valid path
		return files
	}
	return sub
}
