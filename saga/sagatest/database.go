package sagatest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datasqlite"
)

// resettable is a SQLite database that every schedule finds as it was after the creation of its tables. It lives outside of the
// bubbles, because opening one takes longer than hundreds of schedules.
type resettable struct {
	data.DB
	tables   []string
	triggers [][2]string // name and statement
}

func openResettable(t *testing.T, schema func(context.Context, data.DB) error) *resettable {
	t.Helper()
	if schema == nil {
		return &resettable{DB: noDB{}}
	}
	db, err := datasqlite.Open(t.Context(), datasqlite.Config{Path: datasqlite.Memory, ReadConns: 1, DisableCheck: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	d := &resettable{DB: db}
	if err := schema(t.Context(), db); err != nil {
		t.Fatalf("sagatest: create the tables: %v", err)
	}
	if err := d.remember(t.Context()); err != nil {
		t.Fatalf("sagatest: remember the tables: %v", err)
	}
	return d
}

func quoted(table string) string { return `"` + strings.ReplaceAll(table, `"`, `""`) + `"` }

func (d *resettable) remember(ctx context.Context) error {
	return d.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		rows, err := tx.Query(ctx, `select type, name, coalesce(sql, '') from sqlite_master
			where type = 'trigger' or type = 'table' and (name not like 'sqlite_%' or name = 'sqlite_sequence')`)
		if err != nil {
			return err
		}
		for rows.Next() {
			var kind, name, sql string
			if err := rows.Scan(&kind, &name, &sql); err != nil {
				return errors.Join(err, rows.Close())
			}
			if kind == "trigger" {
				d.triggers = append(d.triggers, [2]string{name, sql})
			} else {
				d.tables = append(d.tables, name)
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		for _, name := range d.tables {
			if _, err := tx.Exec(ctx, fmt.Sprintf("create table %s as select * from %s", quoted("sagatest "+name), quoted(name))); err != nil {
				return err
			}
		}
		return nil
	})
}

func (d *resettable) reset(t *testing.T) {
	t.Helper()
	if len(d.tables) == 0 {
		return
	}
	err := d.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		todo := []string{`pragma defer_foreign_keys = on`}
		for _, tr := range d.triggers { // they would refuse, or act
			todo = append(todo, "drop trigger "+quoted(tr[0]))
		}
		for _, verb := range []string{"delete from %[1]s", "insert into %[1]s select * from %[2]s"} {
			for _, name := range d.tables {
				todo = append(todo, fmt.Sprintf(verb, quoted(name), quoted("sagatest "+name)))
			}
		}
		for _, tr := range d.triggers {
			todo = append(todo, tr[1])
		}
		for _, sql := range todo {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("sagatest: reset the database: %v", err)
	}
}
