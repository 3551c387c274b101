package datasqlite_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datasqlite"
)

func Example() {
	ctx := context.Background()
	db, err := datasqlite.Open(ctx, datasqlite.Config{Path: datasqlite.Memory}) // or a file
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Exec(ctx, "create table pets (id text primary key, owner text)"); err != nil {
		fmt.Println(err)
		return
	}
	err = db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		_, err := tx.Exec(ctx, "insert into pets (id) values ($1)", "rex")
		return err
	})
	fmt.Println("adopted:", err)
	_, err = db.Exec(ctx, "insert into pets (id) values ($1)", "rex")
	fmt.Println("twice:", data.KindOf(err))
	var owner string
	err = db.QueryRow(ctx, "select owner from pets where id = $1", "tom").Scan(&owner)
	fmt.Println("nobody:", errors.Is(err, data.ErrNoRows))
	// Output:
	// adopted: <nil>
	// twice: unique
	// nobody: true
}
