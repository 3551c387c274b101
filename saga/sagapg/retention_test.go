package sagapg_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/internal/uuidv7"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagapg"
)

const (
	aDay  = 24 * time.Hour
	aWeek = 7 * aDay
)

// began returns the id number n of a saga that started at t.
func began(t time.Time, n int) (u saga.UID) {
	copy(u[:], fmt.Appendf(nil, "%16d", n))
	for i := range 6 {
		u[i] = byte(t.UnixMilli() >> (8 * (5 - i)))
	}
	u[6], u[8] = 0x70, 0x80
	return u
}

func partitions(t *testing.T, db data.DB) (names []string) {
	t.Helper()
	var list []byte
	require.NoError(t, db.QueryRow(t.Context(), `select coalesce(json_agg(inhrelid::regclass::text order by 1), '[]')::text from pg_inherits
		where inhparent = 'saga_journal'::regclass and inhrelid <> 'saga_journal_default'::regclass`).Scan(&list))
	require.NoError(t, json.Unmarshal(list, &names))
	return names
}

// rows counts the journal rows that stand in a table.
func rows(t *testing.T, db data.DB, table string) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRow(t.Context(), `select count(*) from only `+table).Scan(&n))
	return n
}

func TestJournalIsPartitionedByTime(t *testing.T) {
	t.Parallel()
	db := datatest.Postgres(t)
	for range 2 {
		_, err := sagapg.New(t.Context(), db)
		require.NoError(t, err)
	}
	parts := partitions(t, db)
	require.NotEmpty(t, parts)
	monday := time.Now().UTC().Truncate(aWeek)
	require.Equal(t, fmt.Sprintf("saga_journal_p%s_%s", monday.Format("20060102"), monday.Add(aWeek).Format("20060102")), parts[0])
	put := func(at time.Time, n int) {
		_, err := db.Exec(t.Context(), `insert into saga_journal (uid, seq, epoch, kind, body) values ($1, 1, 1, 1, '{}')`, began(at, n))
		require.NoError(t, err)
	}
	put(time.Now(), 1)
	require.Equal(t, 1, rows(t, db, parts[0]))
	require.Zero(t, rows(t, db, "saga_journal_default"))

	// A partition was not made in time: its rows wait in the default one and move when it is.
	_, err := db.Exec(t.Context(), `drop table `+parts[len(parts)-1])
	require.NoError(t, err)
	at, err := time.Parse("20060102", parts[len(parts)-1][len("saga_journal_p"):len("saga_journal_p20060102")])
	require.NoError(t, err)
	put(at.Add(time.Hour), 2)
	put(time.Now().Add(-52*aWeek), 3)
	require.Equal(t, 2, rows(t, db, "saga_journal_default"))
	_, err = sagapg.New(t.Context(), db)
	require.NoError(t, err)
	require.Equal(t, parts, partitions(t, db))
	require.Equal(t, 1, rows(t, db, parts[len(parts)-1]))
	require.Equal(t, 1, rows(t, db, "saga_journal_default"))
}

// past is a database with a partition of ten weeks ago in which some sagas have ended and some live.
func past(t *testing.T, ended, live int) (store saga.Store, db data.DB, part string) {
	t.Helper()
	db = datatest.Postgres(t)
	store, err := sagapg.New(t.Context(), db)
	require.NoError(t, err)
	from := time.Now().UTC().Truncate(aWeek).Add(-10 * aWeek)
	first, end := began(from, 0), began(from.Add(aWeek), 0)
	for _, u := range []*saga.UID{&first, &end} {
		clear(u[6:])
	}
	part = fmt.Sprintf("saga_journal_p%s_%s", from.Format("20060102"), from.Add(aWeek).Format("20060102"))
	_, err = db.Exec(t.Context(), fmt.Sprintf(`create table %s partition of saga_journal for values from ('%s') to ('%s')`, part, first, end))
	require.NoError(t, err)
	require.NoError(t, store.Register(t.Context(), []saga.DefInfo{{Kind: "order@1", Fingerprint: "a"}}))
	var lane int64
	require.NoError(t, db.QueryRow(t.Context(), `select min(id) from saga_lane`).Scan(&lane))
	body, err := saga.EncodeRecord(nil, saga.Record{Kind: saga.Started, At: from, Payload: []byte("1")})
	require.NoError(t, err)
	uids := make([][16]byte, ended+live)
	for i := range uids {
		uids[i] = began(from.Add(time.Duration(i)*time.Minute/10), i)
	}
	for _, q := range []string{
		`insert into saga_key (id, uid, kind, lane, input_hash) select 'o' || n, u, 'order@1', $2::bigint, 'h' from unnest($1::uuid[]) with ordinality x(u, n)
			where $3::text <> '' and $4::bigint >= 0`,
		`insert into saga_journal (uid, seq, epoch, kind, body) select u, 1, $2::bigint, 1, $3::text from unnest($1::uuid[]) u where $4::bigint >= 0`,
		`insert into saga_active (uid, lane) select u, $2::bigint from unnest($1::uuid[]) with ordinality x(u, n) where n > $4::bigint and $3::text <> ''`,
	} {
		_, err = db.Exec(t.Context(), q, uids, lane, string(body), ended)
		require.NoError(t, err)
	}
	require.Equal(t, ended+live, rows(t, db, part))
	return store, db, part
}

func TestRetentionDropsPartitions(t *testing.T) {
	t.Parallel()
	store, db, part := past(t, 30_000, 3)
	engine, err := saga.New(saga.Config{}, store)
	require.NoError(t, err)
	done, err := engine.Purge(t.Context(), 30*aDay)
	require.NoError(t, err)
	require.Equal(t, saga.Purged{Sagas: 30_000, Dropped: []string{part}, Carried: 3}, done, "in two rounds")
	require.NotContains(t, partitions(t, db), part)
	require.Equal(t, 3, rows(t, db, "saga_journal_default"), "the journals of live sagas are kept")
	require.Equal(t, 3, rows(t, db, "saga_key"))

	ref, err := store.Lookup(t.Context(), "o30001")
	require.NoError(t, err)
	history, err := store.Load(t.Context(), []saga.UID{ref.UID})
	require.NoError(t, err)
	require.Len(t, history[0].Records, 1)
	lease, err := store.Join(t.Context(), "n", []string{"order@1"}, 10*time.Second)
	require.NoError(t, err)
	results, err := store.Append(t.Context(), lease, []saga.Write{{
		Ref: ref, End: true, Records: []saga.Record{{Seq: 2, Kind: saga.Ended, End: saga.Completed}},
	}})
	require.NoError(t, err)
	require.Equal(t, []error{nil}, results, "a saga goes on where its journal is now")
	done, err = engine.Purge(t.Context(), 30*aDay)
	require.NoError(t, err)
	require.Equal(t, saga.Purged{Sagas: 1}, done)
	require.Equal(t, 2, rows(t, db, "saga_journal_default"))
}

func TestRetentionHoldsAPartitionInWhichManyLive(t *testing.T) {
	t.Parallel()
	store, db, part := past(t, 10, 1001)
	done, err := store.(saga.Keeper).Upkeep(t.Context(), 30*aDay, saga.UID{})
	require.NoError(t, err)
	require.Equal(t, saga.Purged{Sagas: 10, Held: []string{part}}, done)
	require.Equal(t, 1011, rows(t, db, part))
	_, err = db.Exec(t.Context(), `delete from saga_active where uid in (select uid from saga_active limit 1)`)
	require.NoError(t, err)
	done, err = store.(saga.Keeper).Upkeep(t.Context(), 30*aDay, saga.UID{})
	require.NoError(t, err)
	require.Equal(t, saga.Purged{Sagas: 1, Dropped: []string{part}, Carried: 1000}, done)
}

// A transaction that reads the journal for long delays upkeep; upkeep does not delay writers.
func TestRetentionWaitsForNobody(t *testing.T) {
	t.Parallel()
	store, db, part := past(t, 10, 0)
	require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		var n int
		if err := tx.QueryRow(ctx, `select count(*) from saga_journal`).Scan(&n); err != nil {
			return err
		}
		_, err := store.(saga.Keeper).Upkeep(t.Context(), 30*aDay, saga.UID{})
		require.Equal(t, data.KindTimeout, data.KindOf(err), "%v", err)
		_, err = db.Exec(t.Context(), `insert into saga_journal (uid, seq, epoch, kind, body) values ($1, 1, 1, 1, '{}')`, [16]byte(uuidv7.New()))
		return err
	}))
	done, err := store.(saga.Keeper).Upkeep(t.Context(), 30*aDay, saga.UID{})
	require.NoError(t, err)
	require.Equal(t, []string{part}, done.Dropped)
}

// However many old sagas live, those behind them are forgotten, and a purge ends.
func TestRetentionPassesThoseThatLive(t *testing.T) {
	t.Parallel()
	store, err := sagapg.New(t.Context(), datatest.Postgres(t))
	require.NoError(t, err)
	const live = 20_001 // more than a round looks at
	for table, columns := range map[string]string{
		"saga_key (uid, id, kind, lane, input_hash)": `, 'old' || i, 'trip@1', 1, ''`, "saga_active (uid, lane)": `, 1`,
	} {
		_, err = store.DB().Exec(t.Context(), `insert into `+table+` select ('00000000-0001-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid`+
			columns+` from generate_series(1, $1::bigint) i`, live)
		require.NoError(t, err)
	}
	_, err = store.DB().Exec(t.Context(), `delete from saga_active where uid = (select uid from saga_key order by uid desc limit 1)`)
	require.NoError(t, err)
	e, err := saga.New(saga.Config{}, store)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	purged, err := e.Purge(ctx, aDay)
	require.NoError(t, err)
	require.Equal(t, 1, purged.Sagas)
}
