package sagapg_test

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// sleepers is how many sagas the tests of size work with; MMF_TEST_SLEEPERS=1000000 shows what is promised.
func sleepers(t *testing.T) int {
	t.Helper()
	text := os.Getenv("MMF_TEST_SLEEPERS")
	if text == "" {
		return 20_000
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// copies makes n sagas as the one with the given id is: their journals, keys and rows are its own, but for their ids and,
// with a timer, the time at which they wake, which is a millisecond later for each, and now for the first few.
func copies(t *testing.T, db data.DB, of saga.ID, prefix string, n, awake int) {
	t.Helper()
	exec := func(tx data.Tx, q string, args ...any) {
		_, err := tx.Exec(t.Context(), q, args...)
		require.NoError(t, err)
	}
	began := time.Now()
	require.NoError(t, db.InTx(t.Context(), func(_ context.Context, tx data.Tx) error {
		exec(tx, `create temporary table copies on commit drop as
			select i, k.uid as source, l.lanes[1 + i % cardinality(l.lanes)] as lane, t.due as was,
				case when i <= $4::bigint then $5::bigint else t.due + i * 1000 end as due,
				(lpad(to_hex($2::bigint + i / 1000), 12, '0') || '7' || substr(md5(i::text), 1, 3) || '8' || substr(md5(i::text), 4, 15))::uuid as uid
			from generate_series(1, $3::bigint) i, saga_key k left join saga_timer t on t.uid = k.uid,
				(select array_agg(id order by n) as lanes, kind from saga_lane group by kind) l
			where k.id = $1::text and l.kind = k.kind`,
			string(of), time.Now().Add(-time.Hour).UnixMilli(), n, awake, time.Now().Add(time.Second).UnixMicro())
		exec(tx, `insert into saga_key (id, uid, kind, lane, input_hash)
			select $1::text || c.i, c.uid, k.kind, c.lane, k.input_hash from copies c join saga_key k on k.uid = c.source`, prefix)
		exec(tx, `insert into saga_journal (uid, seq, epoch, kind, body)
			select c.uid, j.seq, 0, j.kind, case when c.due is null then j.body else replace(j.body, '"d":' || c.was, '"d":' || c.due) end
			from saga_journal j join copies c on c.source = j.uid order by c.uid, j.seq`)
		exec(tx, `insert into saga_active (uid, lane) select uid, lane from copies`)
		exec(tx, `insert into saga_timer (uid, lane, due) select uid, lane, due from copies where due is not null`)
		return nil
	}))
	t.Logf("%d copies made in %s", n, time.Since(began).Round(time.Millisecond))
}
