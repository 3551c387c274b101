package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/marty-framework/mmf/saga"
)

// ceiling is what the machine can do with MMF's journal and nothing around it: rows of the same shape and size, waited for
// one after the other as a saga must, as many as wait in one insert. No engine, fence, keys or live table.
type ceiling struct {
	conn   *pgx.Conn
	bodies [4]string
	queue  chan *row
	done   chan struct{}
}

type row struct {
	uid     [16]byte
	seq     int64
	body    string
	written chan error
}

func openCeiling(ctx context.Context, dsn string) (engine, error) {
	bodies, err := journalBodies()
	if err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	_, err = conn.Exec(ctx, `create table ceiling_journal
		(uid uuid not null, seq bigint not null, epoch bigint not null, kind smallint not null, body text not null, primary key (uid, seq))`)
	if err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	c := &ceiling{conn, bodies, make(chan *row, 2000), make(chan struct{})}
	go c.write(context.WithoutCancel(ctx))
	return c, nil
}

// journalBodies encodes the four records of a saga as MMF does.
func journalBodies() (bodies [4]string, err error) {
	o := order{ID: "order-0000-00000000", Cents: 4200}
	input, err := json.Marshal(o)
	if err != nil {
		return bodies, err
	}
	records := [4]saga.Record{{Seq: 1, Kind: saga.Started, Payload: input}}
	for n, name := range stepNames {
		result, err := json.Marshal(doStep(n, o))
		if err != nil {
			return bodies, err
		}
		records[n+1] = saga.Record{Seq: int64(n + 2), Kind: saga.Done, Node: name, Payload: result}
	}
	records[3].End = saga.Completed
	for i, r := range records {
		r.At = time.Now()
		body, err := saga.EncodeRecord(r)
		if err != nil {
			return bodies, err
		}
		bodies[i] = string(body)
	}
	return bodies, nil
}

func (c *ceiling) saga(_ context.Context, o order) (order, error) {
	uid, err := uuid.NewV7()
	if err != nil {
		return o, err
	}
	for i, body := range c.bodies {
		r := &row{uid, int64(i + 1), body, make(chan error, 1)}
		c.queue <- r
		if err := <-r.written; err != nil {
			return o, err
		}
	}
	return finished(o), nil
}

// write is the group commit: one connection, whatever waits, one statement.
func (c *ceiling) write(ctx context.Context) {
	defer close(c.done)
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
		err := c.insert(ctx, batch)
		for _, r := range batch {
			r.written <- err
		}
	}
}

func (c *ceiling) insert(ctx context.Context, batch []*row) error {
	uids, seqs, epochs := make([][16]byte, len(batch)), make([]int64, len(batch)), make([]int64, len(batch))
	kinds, bodies := make([]int16, len(batch)), make([]string, len(batch))
	for i, r := range batch {
		uids[i], seqs[i], epochs[i], kinds[i], bodies[i] = r.uid, r.seq, 1, int16(min(r.seq, 2)), r.body
	}
	_, err := c.conn.Exec(ctx, `insert into ceiling_journal
		select * from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::smallint[], $5::text[])`, uids, seqs, epochs, kinds, bodies)
	return err
}

func (c *ceiling) close(ctx context.Context) error {
	close(c.queue)
	<-c.done
	return c.conn.Close(ctx)
}
