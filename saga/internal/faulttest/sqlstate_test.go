package faulttest_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/internal/pgproxy"
)

// TestEverySQLState lets every statement of the engine fail once with every error that servers really give, and looks whether
// the sagas end as without. A statement in a transaction fails in truth, so that half a transaction would show. F-PG-4.
func TestEverySQLState(t *testing.T) {
	t.Parallel()
	for code, c := range map[string]struct {
		what   string
		fatal  bool
		writes bool // only statements that write can fail so
	}{
		"40001": {what: "serialization failure"},
		"40P01": {what: "deadlock"},
		"55P03": {what: "lock timeout"},
		"57014": {what: "statement timeout"},
		"25006": {what: "read-only after a failover", writes: true},
		"53100": {what: "disk full", writes: true},
		"53200": {what: "out of memory"},
		"57P01": {what: "administrator's shutdown", fatal: true},
		"57P02": {what: "crash of another back end", fatal: true},
		"25P03": {what: "idle in transaction", fatal: true},
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			var mu sync.Mutex
			failed := map[string]bool{}
			r.proxy.Before(func(p pgproxy.Point) pgproxy.Fate {
				text := strings.Join(append([]string{strings.Join(p.SQL, ";")}, p.Writes...), "|")
				if c.writes && len(p.Writes) == 0 && !strings.Contains(text, "insert") && !strings.Contains(text, "update") {
					return pgproxy.Forward
				}
				if !strings.Contains(text, "saga_") && !strings.Contains(text, "booked") || strings.Contains(text, "goose") ||
					strings.Contains(text, "migrat") || strings.Contains(text, "saga_version") {
					return pgproxy.Forward
				}
				mu.Lock()
				defer mu.Unlock()
				if failed[text] {
					return pgproxy.Forward
				}
				failed[text] = true
				if c.fatal {
					return pgproxy.Kill(code)
				}
				return pgproxy.Fail(code)
			})
			sagas := orders("s", 4)
			w := r.worker(r.spec(sagas...))
			w.finish()
			r.check(sagas)
			mu.Lock()
			defer mu.Unlock()
			t.Logf("%s (%s): %d statements failed once", code, c.what, len(failed))
			require.Greater(t, len(failed), 8)
		})
	}
	t.Run("53300", func(t *testing.T) { // no room for another connection
		t.Parallel()
		r := newRig(t)
		var mu sync.Mutex
		n := 0
		r.proxy.Connect(func() pgproxy.Fate {
			mu.Lock()
			defer mu.Unlock()
			if n++; n%2 == 0 {
				return pgproxy.Kill("53300")
			}
			return pgproxy.Forward
		})
		sagas := orders("s", 4)
		r.worker(r.spec(sagas...)).finish()
		r.check(sagas)
		require.Positive(t, r.proxy.Counts().Failed)
	})
}
