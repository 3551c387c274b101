package inbox_test

import (
	"context"
	"fmt"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datasqlite"
	"github.com/marty-framework/mmf/data/inbox"
	"github.com/marty-framework/mmf/data/migrate"
)

// A broker delivers an event twice; it has one effect.
func Example() {
	ctx := context.Background()
	db, err := datasqlite.Open(ctx, datasqlite.Config{Path: datasqlite.Memory})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = db.Close() }()
	if err := migrate.Up(ctx, db, inbox.Migrations(), migrate.Config{Name: inbox.MigrationsName}); err != nil {
		fmt.Println(err)
		return
	}
	box, err := inbox.New(inbox.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		first, err := box.Once(ctx, db, "mailer", "event-7", func(context.Context, data.Tx) error {
			fmt.Println("handling") // write the effect with the Tx
			return nil
		})
		fmt.Println(first, err)
	}
	// Output:
	// handling
	// true <nil>
	// false <nil>
}
