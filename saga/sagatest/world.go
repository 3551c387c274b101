package sagatest

import (
	"context"
	"errors"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// World is what one schedule runs in. The setup of [Explore] gets a fresh one for every schedule, builds the fakes with it and returns the
// definition.
type World struct{ r *run }

// DB is the database of the saga, for transactional steps: an in-memory SQLite with the tables of [Schema], as they were after its
// creation.
func (w *World) DB() data.DB { return w.r.db }

// Participant makes a scripted participant; the same name gives the same one.
func (w *World) Participant(name string) *Participant { return &Participant{name, w.r} }

// Always adds an invariant that must hold after every effect of a participant and at the end. The name is what a finding is called.
func (w *World) Always(name string, holds func() error) {
	w.r.always = append(w.r.always, invariant{name, holds})
}

// Finally adds an invariant that must hold when the saga has ended and nothing is under way any more.
func (w *World) Finally(name string, holds func(saga.Outcome) error) {
	w.r.finally = append(w.r.finally, ending{name, holds})
}

// Engine is the engine that runs now, for consumers that pass replies on: it is another one after a crash.
func (w *World) Engine() *saga.Engine {
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	return w.r.engine
}

// Write is the outbox: it delivers events to the consumer of their topic when the transaction has committed, at least once.
func (w *World) Write(_ context.Context, tx data.Tx, events ...data.Event) error {
	t, ok := tx.(*memoryTx)
	if !ok {
		return errors.New("sagatest: the transaction is of another database: use World.DB or World.OtherDB")
	}
	return t.stage(func() error { return nil }, func() {
		for _, ev := range events {
			w.r.publish(ev)
		}
	})
}

// Consume sets the consumer of a topic. An error delivers the event again, in a while.
func (w *World) Consume(topic string, handle func(ctx context.Context, ev data.Event) error) {
	w.r.consumers[topic] = handle
}

// OtherDB is the database of other services, apart from the saga's and with the tables of [OtherSchema]. [World.Write] works in its
// transactions too.
func (w *World) OtherDB() data.DB { return w.r.other }

type invariant struct {
	name  string
	holds func() error
}

type ending struct {
	name  string
	holds func(saga.Outcome) error
}

// publish begins the delivery of an event.
func (r *run) publish(ev data.Event) {
	handle := r.consumers[ev.Topic]
	if handle == nil {
		return
	}
	id := "event:" + ev.Type
	if step := ev.Headers["saga-step"]; step != "" {
		id += "/" + step + "/" + ev.Headers["saga-direction"]
	}
	r.mu.Lock()
	at := r.placeLocked(id, atEvent)
	kinds := r.takeLocked(at)
	r.mu.Unlock()
	r.background(func() {
		pause, times := time.Millisecond, 1
		for _, k := range kinds {
			switch k {
			case EventTwice:
				times = 2
			case SlowEvent:
				pause = r.timeoutOf(ev.Headers["saga-step"]) + time.Second
			case LateEvent:
				pause = r.patience
			}
		}
		time.Sleep(pause)
		r.note("      %s arrives", id)
		for range times {
			for try := 0; ; try++ {
				err := handle(r.ctx, ev)
				if err == nil || try == 100 || r.ctx.Err() != nil {
					break
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
	})
}
