package datapg_test

import (
	"context"
	"fmt"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datapg"
)

func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	db, err := datapg.Open(ctx, datapg.Config{DSN: "postgres://app:secret@127.0.0.1:1/shop?sslmode=disable"}) // nobody listens there
	if err != nil {
		fmt.Println("open:", data.KindOf(err))
		return
	}
	defer func() { _ = db.Close() }()
	_ = db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		_, err := tx.Exec(ctx, "update pets set owner = $1 where id = $2", "ann", "rex")
		return err
	})
	// Output: open: unavailable
}
