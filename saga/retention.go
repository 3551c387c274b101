package saga

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Retention says how long a store remembers sagas that have ended.
type Retention struct {
	// Keep is how long after its start a saga is remembered at least; one that still lives is never forgotten. Zero, the
	// default: for ever. A saga that is forgotten is not found any more, and its ID is free: starting under it begins a new
	// saga. So Keep must be longer than anybody may repeat a start, and than anybody may ask what became of it.
	Keep time.Duration
	// Every is how often a node looks for what there is to forget, and makes room for what is to come. Default 1 h, at least
	// 1 s. One node at a time does it.
	Every time.Duration
}

// Purged is what one round of upkeep did.
type Purged struct {
	Sagas   int      // that were forgotten
	Dropped []string // partitions of the journal that were dropped, on stores that have some
	Carried int      // live sagas of dropped partitions, whose journals were kept
	Held    []string // partitions that are old enough and stay because too many sagas live in them
	More    bool     // the round reached its bound and there is more to do
	Next    UID      // where the next round is to go on, if there is more
}

// Keeper is a [Store] that can forget. Its methods are safe for concurrent use; nodes that call them at the same time do
// the work once.
type Keeper interface {
	// Upkeep makes room for what is to come and forgets sagas that have ended and began more than keep ago, by the
	// database's clock; none when keep is zero. A call does a bounded amount of work and never holds up writers for long. It
	// looks at sagas after the given one: [Purged.Next] of the last call, or zero for the first.
	Upkeep(ctx context.Context, keep time.Duration, after UID) (Purged, error)
}

// Purge forgets what [Retention] would forget with this Keep, now, in rounds until nothing is left to forget. The error
// matches [errors.ErrUnsupported] when the store cannot forget. It works without Run.
func (e *Engine) Purge(ctx context.Context, keep time.Duration) (Purged, error) {
	var total Purged
	k, ok := e.store.(Keeper)
	if !ok {
		return total, fmt.Errorf("saga: purge: the store does not forget: %w", errors.ErrUnsupported)
	}
	if keep <= 0 {
		return total, errors.New("saga: purge: how long to keep must be positive")
	}
	for next := (UID{}); ; {
		round, err := k.Upkeep(ctx, keep, next)
		next = round.Next
		total.Sagas += round.Sagas
		total.Carried += round.Carried
		total.Dropped = append(total.Dropped, round.Dropped...)
		total.Held = round.Held
		if err != nil || !round.More {
			return total, err
		}
	}
}

// upkeep makes room and forgets, from time to time. Rounds of many nodes spread.
func (w *worker) upkeep() {
	k, ok := w.e.store.(Keeper)
	if !ok {
		return
	}
	r := w.e.cfg.Retention
	next := UID{}
	for pause := rand.N(min(r.Every, time.Minute)); ; {
		select {
		case <-w.ctx.Done():
			return
		case <-time.After(pause):
		}
		round, err := k.Upkeep(w.ctx, r.Keep, next)
		next = round.Next
		if err != nil && w.ctx.Err() == nil {
			w.e.fail(w.ctx, fmt.Errorf("saga: upkeep: %w", err))
		}
		if h := w.e.cfg.Hooks.Purged; h != nil && (round.Sagas > 0 || len(round.Dropped) > 0 || len(round.Held) > 0) {
			h(w.ctx, round)
		}
		if pause = r.Every/2 + rand.N(r.Every); round.More && err == nil {
			pause = time.Second
		}
	}
}
