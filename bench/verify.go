package main

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// counted verifies with a query of PostgreSQL that gives the numbers of finished sagas and of their records.
func counted(records int64, query string) func(context.Context, string, int64) error {
	return func(ctx context.Context, dsn string, sagas int64) error {
		db, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return err
		}
		defer func() { _ = db.Close(context.WithoutCancel(ctx)) }()
		return compare(db.QueryRow(ctx, query), sagas, records)
	}
}

// compare reads the numbers of finished sagas and of their records.
func compare(row interface{ Scan(...any) error }, sagas, records int64) error {
	var found, recorded int64
	if err := row.Scan(&found, &recorded); err != nil {
		return fmt.Errorf("counting what was recorded: %w", err)
	}
	if found != sagas || recorded != sagas*records {
		return fmt.Errorf("%d sagas were acknowledged, but the database holds %d finished ones with %d records instead of %d",
			sagas, found, recorded, sagas*records)
	}
	return nil
}

func verifyDBOSOnSQLite(ctx context.Context, path string, sagas int64) error {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	defer db.Close()
	return compare(db.QueryRowContext(ctx, `select count(distinct s.workflow_uuid), count(*) from workflow_status s
		join operation_outputs o on o.workflow_uuid = s.workflow_uuid where s.status = 'SUCCESS'`), sagas, int64(len(stepNames)))
}

// verifyMMF opens the database as the next start of a service would, and replays every journal: each saga must have been
// started with an order, have one result of each step, have ended as completed in the state that follows, and be live no
// longer.
func verifyMMF(open func(context.Context, string) (data.DB, saga.Store, error)) func(context.Context, string, int64) error {
	return func(ctx context.Context, dsn string, sagas int64) error {
		db, store, err := open(ctx, dsn)
		if err != nil {
			return err
		}
		return errors.Join(replayAll(ctx, db, store, sagas), db.Close())
	}
}

func replayAll(ctx context.Context, db data.DB, store saga.Store, sagas int64) error {
	live, err := store.List(ctx, 1)
	if err != nil {
		return err
	}
	if len(live) > 0 {
		return fmt.Errorf("saga %s was acknowledged and is still live", live[0].ID)
	}
	uids, err := allUIDs(ctx, db)
	if err != nil {
		return err
	}
	if int64(len(uids)) != sagas {
		return fmt.Errorf("%d sagas were acknowledged, but the database holds %d", sagas, len(uids))
	}
	def := placeOrder()
	for len(uids) > 0 {
		batch := uids[:min(len(uids), 1000)]
		uids = uids[len(batch):]
		histories, err := store.Load(ctx, batch)
		if err != nil {
			return err
		}
		if len(histories) != len(batch) {
			return fmt.Errorf("of %d sagas, %d have a journal", len(batch), len(histories))
		}
		for _, h := range histories {
			if err := replay(def, h); err != nil {
				return fmt.Errorf("the journal of saga %s: %w", h.Ref.ID, err)
			}
		}
	}
	return nil
}

// allUIDs lists the sagas that were ever started.
func allUIDs(ctx context.Context, db data.DB) ([]saga.UID, error) {
	text := `replace(cast(uid as text), '-', '')`
	if db.Dialect() == data.SQLite {
		text = `hex(uid)`
	}
	rows, err := db.Query(ctx, `select `+text+` from saga_key`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var uids []saga.UID
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		var uid saga.UID
		if n, err := hex.Decode(uid[:], []byte(strings.ToLower(s))); err != nil || n != len(uid) {
			return nil, fmt.Errorf("%q is no saga's id", s)
		}
		uids = append(uids, uid)
	}
	return uids, rows.Err()
}

// replay checks one journal, without the code that wrote it, and asks the decision core whether anything is left to do.
func replay(def *saga.Def[order], h saga.History) error {
	if h.Err != nil {
		return h.Err
	}
	var input, now order
	results := map[string]int{}
	for i, r := range h.Records {
		if r.Seq != int64(i+1) {
			return fmt.Errorf("record %d has number %d", i+1, r.Seq)
		}
		switch {
		case r.Kind == saga.Started && i == 0:
			if err := json.Unmarshal(r.Payload, &input); err != nil {
				return err
			}
			now = input
		case r.Kind == saga.Done && !r.Undo:
			for n, name := range stepNames {
				var result string
				if name != r.Node {
					continue
				}
				if err := json.Unmarshal(r.Payload, &result); err != nil {
					return err
				}
				now.fold(n, result)
			}
			results[r.Node]++
		}
	}
	for _, name := range stepNames {
		if results[name] != 1 {
			return fmt.Errorf("step %s has %d results", name, results[name])
		}
	}
	if last := h.Records[len(h.Records)-1]; last.End != saga.Completed {
		return errors.New("it does not end with completion")
	}
	if string(h.Ref.ID) != input.ID || now != finished(input) {
		return fmt.Errorf("it leads to %+v", now)
	}
	if left, err := def.Next(h.Records); err != nil || len(left) > 0 {
		return errors.Join(err, fmt.Errorf("it leaves %d things to do", len(left)))
	}
	return nil
}
