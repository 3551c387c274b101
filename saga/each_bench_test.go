package saga_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// BenchmarkEachOfTxSteps shows what one item costs beside many: it should not grow with their number.
func BenchmarkEachOfTxSteps(b *testing.B) {
	for _, items := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(items, " items"), func(b *testing.B) {
			nothing := func(saga.Ctx, data.Tx, parcel) (saga.None, error) { return saga.None{}, nil }
			def := saga.Define("cargo", 1, saga.Each("ship", func(c cargo) []parcel { return c.Parcels }, saga.TxStep("note", nothing)))
			store, closeStore, err := newStore(b.Context())
			require.NoError(b, err)
			defer func() { _ = closeStore() }()
			e, err := saga.New(saga.Config{}, store, def)
			require.NoError(b, err)
			ended := make(chan error, 1)
			go func() { ended <- e.Run(b.Context()) }()
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				run, err := def.Start(b.Context(), e, saga.ID(fmt.Sprint(n)), cargo{Parcels: make([]parcel, items)})
				require.NoError(b, err)
				_, err = run.Result(b.Context())
				require.NoError(b, err)
				n++
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n*items), "µs/item")
		})
	}
}
