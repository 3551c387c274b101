package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// order is the state of the saga. Every contender does the same to it, in three steps that cost nothing.
type order struct {
	ID      string
	Cents   int64
	Payment string
	Stock   string
	Parcel  string
}

// stepNames are the saga's steps.
var stepNames = [3]string{"authorise-payment", "reserve-stock", "book-courier"}

// doStep is what step n does; its result is what an engine must record.
func doStep(n int, o order) string {
	return [3]string{"payment-", "stock-", "parcel-"}[n] + o.ID
}

// fold puts the result of step n into the state.
func (o *order) fold(n int, result string) {
	*[3]*string{&o.Payment, &o.Stock, &o.Parcel}[n] = result
}

// finished is the state in which the saga must end.
func finished(o order) order {
	for n := range stepNames {
		o.fold(n, doStep(n, o))
	}
	return o
}

// engine runs sagas. It is used by many goroutines at once.
type engine interface {
	// saga starts a saga, waits for its end and returns the state it ended with.
	saga(ctx context.Context, o order) (order, error)
	// close stops the engine; whatever it has acknowledged is in the database then.
	close(ctx context.Context) error
}

// contender is one way to run sagas.
type contender struct {
	name string
	most int // sagas in flight it is measured with at most; 0: any number
	// open prepares an empty database and starts an engine on it.
	open func(ctx context.Context, dsn string) (engine, error)
	// records is how many records of finished work the database must hold per saga.
	records int64
	// count reads what the database holds: finished sagas and their records. It is called after the engine has stopped.
	count string
}

// contenders are listed with the one first that the others are compared with.
func contenders() []contender {
	return []contender{
		{
			// Started and two results, and the third result, which also ends the saga. A saga that is still live, or whose
			// journal has another length, does not count.
			name: "mmf", open: openMMF, records: 4,
			count: `select count(*), coalesce(sum(j.n), 0) from saga_key k
				join (select uid, count(*) n from saga_journal group by uid having count(*) = 4) j on j.uid = k.uid
				where not exists (select 1 from saga_active a where a.uid = k.uid)`,
		},
		{
			name: "naive", open: openNaive, records: 3,
			count: `select count(distinct s.id), count(*) from naive_saga s join naive_step t on t.saga = s.id where s.step = 3`,
		},
		{
			name: "dbos", open: openDBOS, records: 3,
			count: `select count(distinct s.workflow_uuid), count(*) from dbos.workflow_status s
				join dbos.operation_outputs o on o.workflow_uuid = s.workflow_uuid where s.status = 'SUCCESS'`,
		},
		{
			name: "river", open: openRiver, records: 3, most: 64,
			count: `select count(*) filter (where (args->>'step')::int = 2), count(*) from river_job where state = 'completed'`,
		},
		{
			name: "ceiling", open: openCeiling, records: 4,
			count: `select count(distinct uid), count(*) from ceiling_journal`,
		},
	}
}

func choose(names []string) ([]contender, error) {
	var chosen []contender
	all := contenders()
	for _, name := range names {
		i := slices.IndexFunc(all, func(c contender) bool { return c.name == strings.TrimSpace(name) })
		if i < 0 {
			return nil, fmt.Errorf("-only: there is no contender %q", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// verify compares what the database holds with what the callers were told.
func verify(ctx context.Context, db *pgx.Conn, c contender, sagas int64) error {
	var found, records int64
	if err := db.QueryRow(ctx, c.count).Scan(&found, &records); err != nil {
		return fmt.Errorf("counting what was recorded: %w", err)
	}
	if found != sagas || records != sagas*c.records {
		return fmt.Errorf("%d sagas were acknowledged, but the database holds %d finished ones with %d records instead of %d",
			sagas, found, records, sagas*c.records)
	}
	return nil
}
