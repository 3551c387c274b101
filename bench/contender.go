package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// engine runs sagas. It is used by many goroutines at once.
type engine interface {
	// saga starts a saga, waits for its end and returns the state it ended with.
	saga(ctx context.Context, o order) (order, error)
	// close stops the engine; whatever it has acknowledged is in the database then, and nobody is connected to it.
	close(ctx context.Context) error
}

// contender is one way to run sagas.
type contender struct {
	name string
	kind databaseKind
	// rival is the contender on the same database with which this one is compared, MMF; "" for MMF itself.
	rival string
	most  int // sagas in flight it is measured with at most; 0: any number
	// open prepares an empty database and starts an engine on it.
	open func(ctx context.Context, dsn string, s setting) (engine, error)
	// settings to try before the rounds, at so many sagas in flight; the fastest is used. The first is what it begins with
	// when nothing is tried. MMF has none: it runs with its defaults.
	settings func(inFlight int) []setting
	// verify compares what the database holds, after the engine has stopped, with what callers were told.
	verify func(ctx context.Context, dsn string, sagas int64) error
}

type databaseKind string

const (
	onPostgres databaseKind = "postgres"
	onSQLite   databaseKind = "sqlite"
)

// setting is what a contender may be given; each knows which parts concern it.
type setting struct {
	connections int
	writers     int
	cooldown    time.Duration // between fetches of jobs
}

func (s setting) String() string {
	var parts []string
	if s.connections > 0 {
		parts = append(parts, fmt.Sprintf("%d connections", s.connections))
	}
	if s.writers > 0 {
		parts = append(parts, fmt.Sprintf("%d writers", s.writers))
	}
	if s.cooldown > 0 {
		parts = append(parts, fmt.Sprintf("a fetch per %s", s.cooldown))
	}
	return strings.Join(parts, ", ")
}

func pools(sizes ...int) []setting {
	all := make([]setting, len(sizes))
	for i, n := range sizes {
		all[i].connections = n
	}
	return all
}

// connections are pool sizes to try: on few cores a small pool is the quickest, on many a large one.
func connections(inFlight int) []setting {
	switch {
	case inFlight == 1:
		return pools(10)
	case inFlight <= 128:
		return pools(10, 5, 20, 40)
	default:
		return pools(20, 10, 40, 80)
	}
}

// contenders are listed with MMF before those that are compared with it.
func contenders() []contender {
	return []contender{
		{name: "mmf", kind: onPostgres, open: openMMF, verify: verifyMMF(openPostgres)},
		{
			name: "naive", kind: onPostgres, rival: "mmf", most: 64, open: openNaive, settings: connections,
			verify: counted(3, `select count(distinct s.id), count(*) from naive_saga s join naive_step t on t.saga = s.id where s.step = 3`),
		},
		{
			name: "dbos", kind: onPostgres, rival: "mmf", open: openDBOS, settings: connections,
			verify: counted(3, `select count(distinct s.workflow_uuid), count(*) from dbos.workflow_status s
				join dbos.operation_outputs o on o.workflow_uuid = s.workflow_uuid where s.status = 'SUCCESS'`),
		},
		{
			name: "river", kind: onPostgres, rival: "mmf", most: 64, open: openRiver, settings: riverSettings,
			verify: counted(3, `select count(*) filter (where (args->>'step')::int = 2), count(*) from river_job where state = 'completed'`),
		},
		{
			name: "ceiling", kind: onPostgres, rival: "mmf", open: openCeiling, verify: verifyCeiling,
			settings: func(inFlight int) []setting { return []setting{{writers: 1}, {writers: 2}}[:min(2, inFlight)] },
		},
		{name: "mmf-sqlite", kind: onSQLite, open: openMMFOnSQLite, verify: verifyMMF(openSQLite)},
		{
			name: "dbos-sqlite", kind: onSQLite, rival: "mmf-sqlite", open: openDBOSOnSQLite("FULL"),
			settings: sqliteConnections, verify: verifyDBOSOnSQLite,
		},
		{
			name: "dbos-sqlite-normal", kind: onSQLite, rival: "mmf-sqlite", most: 64, open: openDBOSOnSQLite("NORMAL"),
			settings: sqliteConnections, verify: verifyDBOSOnSQLite,
		},
	}
}

func names(all []contender) string {
	list := make([]string, len(all))
	for i, c := range all {
		list[i] = c.name
	}
	return strings.Join(list, ",")
}

func choose(list string) ([]contender, error) {
	var chosen []contender
	all := contenders()
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(all, func(c contender) bool { return c.name == strings.TrimSpace(name) })
		if i < 0 {
			return nil, fmt.Errorf("-only: there is no contender %q; there are %s", name, names(all))
		}
		if slices.ContainsFunc(chosen, func(c contender) bool { return c.name == all[i].name }) {
			return nil, fmt.Errorf("-only: %s stands there twice", all[i].name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}
