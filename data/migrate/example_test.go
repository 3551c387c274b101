package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"testing/fstest"

	"github.com/marty-framework/mmf/data/datasqlite"
	"github.com/marty-framework/mmf/data/migrate"
)

func Example() {
	ctx := context.Background()
	db, err := datasqlite.Open(ctx, datasqlite.Config{Path: datasqlite.Memory})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = db.Close() }()
	// Normally an embed.FS with files of these names.
	newer := fstest.MapFS{
		"00001_pets.sql": {Data: []byte("-- +goose Up\ncreate table pets (id bigint);\n-- +goose Down\ndrop table pets;\n")},
		"00002_name.sql": {Data: []byte("-- +goose Up\nalter table pets add column name text;\n")},
	}
	older := fstest.MapFS{"00001_pets.sql": newer["00001_pets.sql"]}
	cfg := migrate.Config{Name: "pets"}
	fmt.Println(migrate.Up(ctx, db, newer, cfg))
	fmt.Println(migrate.Version(ctx, db, newer, cfg))
	var tooNew *migrate.NewerError
	if errors.As(migrate.Up(ctx, db, older, cfg), &tooNew) { // the binary before the upgrade
		fmt.Println("database", tooNew.Database, "binary", tooNew.Known)
	}
	// Output:
	// <nil>
	// 2 2 <nil>
	// database 2 binary 1
}
