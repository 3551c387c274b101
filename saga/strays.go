package saga

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// strayLimit is how many strays one call marks.
const strayLimit = 1000

// strayLoop looks for sagas whose definition no process runs any more. A rolling deploy has none: while one node with the old
// version lives, it works for them; when the last one goes, [Config.UnknownVersionGrace] passes first.
func (w *worker) strayLoop() {
	grace := w.e.cfg.UnknownVersionGrace
	joined := time.Now()
	for {
		// Nobody is missing before those who start together have had their time, but who is back is seen at once.
		if err := w.markStrays(grace, time.Since(joined) >= grace); err != nil && w.ctx.Err() == nil {
			w.e.fail(w.ctx, fmt.Errorf("saga: strays: %w", err))
		}
		select {
		case <-w.ctx.Done():
			return
		case <-time.After(max(grace/10, time.Second)):
		}
	}
}

func (w *worker) markStrays(grace time.Duration, mark bool) error {
	total := map[string]int{}
	for more := true; more; {
		marked, again, err := w.e.store.Strays(w.ctx, grace, mark, strayLimit)
		if err != nil {
			return err
		}
		for kind, n := range marked {
			total[kind] += n
		}
		more = again
	}
	if h := w.e.cfg.Hooks.Strayed; h != nil {
		for kind, n := range total {
			h(w.ctx, nodeEvent(kind, n))
		}
	}
	return nil
}

func nodeEvent(kind string, sagas int) NodeEvent {
	name, version, _ := strings.Cut(kind, "@")
	v, _ := strconv.Atoi(version) // kinds are made of both
	return NodeEvent{Saga: name, Version: v, Sagas: sagas}
}

// StrayReason says why a saga of the kind counts as parked.
func StrayReason(kind string, grace time.Duration) string {
	return fmt.Sprintf("no process has run %s for %s; start one that knows this version, it goes on where it stands", kind, grace)
}
