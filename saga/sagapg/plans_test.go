package sagapg_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/internal/uuidv7"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagapg"
)

// statements are those that a store sent, each with its arguments and where it ran.
type statements struct {
	mu  sync.Mutex
	all map[string]sent
}

type sent struct {
	db   data.DB
	own  bool // on connections that are the engine's own
	args []any
}

// recorder is a database that notes statements.
type recorder struct {
	data.DB
	own  bool
	list *statements
}

func (r *recorder) note(query string, args []any) {
	r.list.mu.Lock()
	defer r.list.mu.Unlock()
	r.list.all[query] = sent{r.DB, r.own, args}
}

func (r *recorder) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	r.note(query, args)
	return r.DB.Exec(ctx, query, args...)
}

func (r *recorder) Query(ctx context.Context, query string, args ...any) (data.Rows, error) {
	r.note(query, args)
	return r.DB.Query(ctx, query, args...)
}

func (r *recorder) QueryRow(ctx context.Context, query string, args ...any) data.Row {
	r.note(query, args)
	return r.DB.QueryRow(ctx, query, args...)
}

func (r *recorder) InTx(ctx context.Context, fn func(context.Context, data.Tx) error) error {
	return r.DB.InTx(ctx, func(ctx context.Context, tx data.Tx) error { return fn(ctx, recorderTx{tx, r}) })
}

func (r *recorder) SQLDB() *sql.DB { return r.DB.(interface{ SQLDB() *sql.DB }).SQLDB() } // for the migrations

func (r *recorder) Reserve(conns int, settings map[string]string) (data.DB, error) {
	apart, err := r.DB.(interface {
		Reserve(conns int, settings map[string]string) (data.DB, error)
	}).Reserve(conns, settings)
	return &recorder{apart, true, r.list}, err
}

type recorderTx struct {
	data.Tx
	r *recorder
}

func (t recorderTx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	t.r.note(query, args)
	return t.Tx.Exec(ctx, query, args...)
}

func (t recorderTx) Query(ctx context.Context, query string, args ...any) (data.Rows, error) {
	t.r.note(query, args)
	return t.Tx.Query(ctx, query, args...)
}

func (t recorderTx) QueryRow(ctx context.Context, query string, args ...any) data.Row {
	t.r.note(query, args)
	return t.Tx.QueryRow(ctx, query, args...)
}

// large are the tables that grow with the number of sagas.
var large = []string{"saga_key", "saga_active", "saga_journal", "saga_timer", "saga_mail", "saga_attr", "saga_state", "saga_fork"}

// scans lists the large tables that a statement reads from end to end.
func (s *statements) scans(t *testing.T, query string, of sent) (found []string) {
	t.Helper()
	var text string
	require.NoError(t, of.db.QueryRow(t.Context(), "explain (format json) "+query, of.args...).Scan(&text), query)
	var plans []struct{ Plan map[string]any }
	require.NoError(t, json.Unmarshal([]byte(text), &plans))
	var walk func(node map[string]any)
	walk = func(node map[string]any) {
		relation, _ := node["Relation Name"].(string)
		for _, name := range large {
			if node["Node Type"] == "Seq Scan" && strings.HasPrefix(relation, name) {
				found = append(found, relation)
			}
		}
		children, _ := node["Plans"].([]any)
		for _, c := range children {
			walk(c.(map[string]any))
		}
	}
	walk(plans[0].Plan)
	return found
}

// everything makes the store send what an engine makes it send.
func everything(t *testing.T, store saga.Store, round string) {
	t.Helper()
	ctx := t.Context()
	l, err := store.Join(ctx, "n", []string{"work@1"}, 10*time.Second)
	require.NoError(t, err)
	lanes, _, err := store.Claim(ctx, l)
	require.NoError(t, err)
	require.NotEmpty(t, lanes)
	var ids []int64
	for _, lane := range lanes {
		ids = append(ids, lane.ID)
	}
	_, err = store.Beat(ctx, l)
	require.NoError(t, err)
	write := saga.Write{
		Ref:       saga.Ref{UID: saga.UID(uuidv7.New()), ID: saga.ID(round), Kind: "work@1", Lane: ids[0], InputHash: "h"},
		LaneEpoch: lanes[0].Epoch, New: true, Records: []saga.Record{{Seq: 1, Kind: saga.Started, Payload: []byte("1")}},
	}
	add := func(change func(*saga.Write)) {
		w := write
		change(&w)
		results, err := store.Append(ctx, l, []saga.Write{w})
		require.NoError(t, err)
		require.Equal(t, []error{nil}, results)
	}
	next := func(w *saga.Write, seq int64) {
		w.New, w.Records = false, []saga.Record{{Seq: seq, Kind: saga.Done, Node: "one"}}
	}
	add(func(*saga.Write) {})
	require.NoError(t, store.Post(ctx, store.DB(), saga.Mail{Saga: write.Ref.UID, Kind: saga.MailSignal, Name: "x"}))
	mail, err := store.Mail(ctx, ids, 0, 500)
	require.NoError(t, err)
	require.NotEmpty(t, mail)
	add(func(w *saga.Write) { next(w, 2); w.Sleep = time.Now().Add(time.Hour) })
	_, err = store.Timers(ctx, ids, saga.Timer{}, 1000)
	require.NoError(t, err)
	add(func(w *saga.Write) { next(w, 3); w.Wake, w.MailDone = true, []int64{mail[0].ID} })
	_, err = store.Recoverable(ctx, ids[:1], saga.UID{}, 200)
	require.NoError(t, err)
	_, err = store.Load(ctx, []saga.UID{write.Ref.UID})
	require.NoError(t, err)
	_, err = store.Lookup(ctx, write.Ref.ID)
	require.NoError(t, err)
	require.NoError(t, store.DB().InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		w := write
		next(&w, 4)
		if err := store.AppendTx(ctx, tx, l, w); err != nil {
			return err
		}
		other := write
		other.Ref.UID, other.Ref.ID = saga.UID(uuidv7.New()), other.Ref.ID+"-other"
		return store.Create(ctx, tx, other)
	}))
	add(func(w *saga.Write) { next(w, 5); w.End = true })
	require.NoError(t, store.DropMail(ctx, []int64{mail[0].ID}))
	_, err = store.(saga.Keeper).Upkeep(ctx, 30*24*time.Hour, saga.UID{})
	require.NoError(t, err)
	require.NoError(t, store.Release(ctx, l, ids[:1]))
	require.NoError(t, store.Leave(ctx, l))
}

// What a node does again and again walks indexes, however many sagas there are and whatever the planner believes of the
// tables: that they are empty, or small, as they were when it last looked, or nothing. Statements on the application's own
// connections may read a small table as a whole.
func TestNoStatementReadsATableOfSagas(t *testing.T) {
	t.Parallel()
	n := sleepers(t)
	list := &statements{all: map[string]sent{}}
	db := &recorder{datatest.Postgres(t), false, list}
	store, err := sagapg.New(t.Context(), db)
	require.NoError(t, err)
	def := saga.Define("work", 1, saga.Sleep("night", func(int) time.Duration { return time.Hour }))
	e, stop := run(t, saga.Config{}, store, def)
	_, err = def.Start(t.Context(), e, "first", 1)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return rows(t, db, "saga_timer") == 1 }, 10*time.Second, 5*time.Millisecond)
	stop()
	analyze := func() {
		_, err := db.DB.Exec(t.Context(), `analyze`)
		require.NoError(t, err)
	}
	for _, c := range []struct {
		name    string
		prepare func()
		full    bool
	}{
		{"nearly empty", analyze, false},
		{"small, believed empty", func() { copies(t, db.DB, "first", "small-", 200, 0) }, false},
		{"small", analyze, false},
		{"full, believed small", func() { copies(t, db.DB, "first", "full-", n, 0) }, true},
		{"full", analyze, true},
	} {
		c.prepare()
		clear(list.all)
		everything(t, store, c.name)
		explained := 0
		for query, of := range list.all {
			verb, _, _ := strings.Cut(strings.TrimSpace(query), " ")
			switch verb {
			case "select", "insert", "update", "delete", "with":
			default:
				continue
			}
			explained++
			if of.own || c.full {
				require.Empty(t, list.scans(t, query, of), "%s: %s", c.name, query)
			}
		}
		require.Greater(t, explained, 25, fmt.Sprint(len(list.all), " statements"))
	}
}
