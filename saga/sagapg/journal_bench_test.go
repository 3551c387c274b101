package sagapg_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/internal/uuidv7"
	"github.com/marty-framework/mmf/saga/sagapg"
)

// BenchmarkJournalInsert compares the partitioned journal with a plain table of the same columns and key: batches of 256
// rows in one statement, as the writer sends them under load, taking turns.
func BenchmarkJournalInsert(b *testing.B) {
	db := datatest.Postgres(b)
	_, err := sagapg.New(b.Context(), db)
	require.NoError(b, err)
	_, err = db.Exec(b.Context(), `create table plain (uid uuid not null, seq bigint not null, epoch bigint not null, kind smallint not null,
		body text not null, primary key (uid, seq))`)
	require.NoError(b, err)
	const rows = 256
	uids, body := make([][16]byte, rows), `{"t":1763800000000000,"n":"authorise-payment","p":{"id":"pay-0123456789","cents":4200}}`
	took := map[string]time.Duration{}
	for b.Loop() {
		for i := range uids {
			uids[i] = uuidv7.New()
		}
		for _, table := range []string{"plain", "saga_journal"} {
			began := time.Now()
			_, err := db.Exec(b.Context(), `insert into `+table+` (uid, seq, epoch, kind, body) select u, 1, 1, 1, $2 from unnest($1::uuid[]) u`, uids, body)
			took[table] += time.Since(began)
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	for table, d := range took {
		b.ReportMetric(float64(d.Nanoseconds())/float64(b.N*rows), "ns/row-"+table)
	}
}
