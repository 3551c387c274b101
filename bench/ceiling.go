package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// ceiling is what the machine can do with the rows that MMF writes and nothing around them: MMF's own tables and indexes,
// the rows of a saga that MMF has just run there, a start's and then one after the other as a saga must, and per flush as
// many as wait in one prepared insert, which is one commit. No engine, no fence, and nothing is ever deleted.
type ceiling struct {
	model   model
	queue   chan *row
	writers sync.WaitGroup
	conns   []*pgx.Conn
}

// model is the saga whose rows are written again under other ids.
type model struct {
	kind, hash string
	lane       int64
	records    []record
}

type record struct {
	kind int16
	body string
}

// row is a journal row; a start brings a row of the other two tables.
type row struct {
	id      string
	uid     [16]byte
	seq     int64
	written chan error
}

const (
	insertJournal = `insert into saga_journal (uid, seq, epoch, kind, body)
		select * from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::smallint[], $5::text[])`
	insertStarts = `with started as (
			select * from unnest($6::text[], $7::uuid[]) s (id, uid)
		), keys as (
			insert into saga_key (id, uid, kind, lane, input_hash) select id, uid, $8, $9, $10 from started
		), live as (
			insert into saga_active (uid, lane) select uid, $9 from started
		) ` + insertJournal
)

func verifyCeiling(ctx context.Context, dsn string, sagas int64) error {
	return counted(ceilingRecords, `select (select count(*) from saga_key join saga_active using (uid)),
		(select count(*) from saga_journal)`)(ctx, dsn, sagas)
}

// ceilingRecords is the length of the journal of this saga: its start and one record per step, the last of which ends it.
const ceilingRecords = 1 + int64(len(stepNames))

func openCeiling(ctx context.Context, dsn string, s setting) (_ engine, err error) {
	c := &ceiling{queue: make(chan *row, 2000)}
	if c.model, err = runModel(ctx, dsn); err != nil {
		return nil, err
	}
	for range s.writers {
		conn, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return nil, errors.Join(err, c.close(ctx))
		}
		c.conns = append(c.conns, conn)
		c.writers.Go(func() { c.write(context.WithoutCancel(ctx), conn) })
	}
	return c, nil
}

// runModel runs one saga through MMF, takes its rows down and empties the tables.
func runModel(ctx context.Context, dsn string) (m model, err error) {
	mmf, err := openMMF(ctx, dsn, setting{})
	if err != nil {
		return m, err
	}
	_, err = mmf.saga(ctx, order{ID: orderID(0, 0), Cents: 4200})
	if err = errors.Join(err, mmf.close(ctx)); err != nil {
		return m, err
	}
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	if err := conn.QueryRow(ctx, `select kind, lane, input_hash from saga_key`).Scan(&m.kind, &m.lane, &m.hash); err != nil {
		return m, err
	}
	rows, err := conn.Query(ctx, `select kind, body from saga_journal order by seq`)
	if err != nil {
		return m, err
	}
	m.records, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r record, err error) { return r, row.Scan(&r.kind, &r.body) })
	if err == nil && int64(len(m.records)) != ceilingRecords {
		err = fmt.Errorf("MMF's journal of a saga has %d records instead of %d", len(m.records), ceilingRecords)
	}
	if err != nil {
		return m, err
	}
	_, err = conn.Exec(ctx, `truncate saga_key, saga_active, saga_journal`)
	return m, err
}

func (c *ceiling) saga(_ context.Context, o order) (order, error) {
	uid, err := uuid.NewV7()
	if err != nil {
		return o, err
	}
	for seq := range ceilingRecords {
		r := &row{o.ID, uid, seq + 1, make(chan error, 1)}
		c.queue <- r
		if err := <-r.written; err != nil {
			return o, err
		}
	}
	return finished(o), nil
}

// write is the group commit: whatever waits, in one statement.
func (c *ceiling) write(ctx context.Context, conn *pgx.Conn) {
	for first := range c.queue {
		batch := []*row{first}
	fill:
		for len(batch) < 1000 {
			select {
			case r, open := <-c.queue:
				if !open {
					break fill
				}
				batch = append(batch, r)
			default:
				break fill
			}
		}
		err := c.insert(ctx, conn, batch)
		for _, r := range batch {
			r.written <- err
		}
	}
}

func (c *ceiling) insert(ctx context.Context, conn *pgx.Conn, batch []*row) error {
	uids, seqs, epochs := make([][16]byte, len(batch)), make([]int64, len(batch)), make([]int64, len(batch))
	kinds, bodies := make([]int16, len(batch)), make([]string, len(batch))
	var started [][16]byte
	var ids []string
	for i, r := range batch {
		model := c.model.records[r.seq-1]
		uids[i], seqs[i], epochs[i], kinds[i], bodies[i] = r.uid, r.seq, 1, model.kind, model.body
		if r.seq == 1 {
			started, ids = append(started, r.uid), append(ids, r.id)
		}
	}
	if len(started) == 0 {
		_, err := conn.Exec(ctx, insertJournal, uids, seqs, epochs, kinds, bodies)
		return err
	}
	_, err := conn.Exec(ctx, insertStarts, uids, seqs, epochs, kinds, bodies, ids, started, c.model.kind, c.model.lane, c.model.hash)
	return err
}

func (c *ceiling) close(ctx context.Context) error {
	close(c.queue)
	c.writers.Wait()
	var errs []error
	for _, conn := range c.conns {
		errs = append(errs, conn.Close(ctx))
	}
	return errors.Join(errs...)
}
