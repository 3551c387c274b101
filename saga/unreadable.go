package saga

import (
	"fmt"
	"time"
)

// replay folds a journal. An error matches [ErrNotRegistered] or [ErrUnreadable].
func (e *Engine) replay(h History) (*machine, error) {
	def := e.defs[h.Ref.Kind]
	if def == nil {
		return nil, fmt.Errorf("saga: %s: %w: %s", h.Ref.ID, ErrNotRegistered, h.Ref.Kind)
	}
	m := newMachine(def, h.Ref.ID)
	var err error
	for i := 0; i < len(h.Records) && err == nil; i++ {
		err = m.apply(h.Records[i])
	}
	if err == nil {
		err = h.Err
	}
	if err != nil && h.Last.Kind == Terminated {
		return terminated(def, h), nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w; its functions and types must be those that wrote it: run the program's version that did, "+
			"or give what changed a new version of %q, or terminate the saga", ErrUnreadable, err, def.name)
	}
	return m, nil
}

const (
	firstSetback = time.Second
	longSetback  = time.Minute
)

// setback is how long a saga whose journal cannot be read is left alone.
type setback struct {
	pause time.Duration
	until time.Time
}

// setBack doubles the pause before a saga is looked at again and returns it. Events for it are refused until then: they
// stand in the store.
func (w *worker) setBack(uid UID) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	pause := min(max(2*w.setbacks[uid].pause, firstSetback), longSetback)
	w.setbacks[uid] = setback{pause, time.Now().Add(pause)}
	return pause
}

// readable forgets the setbacks of a saga.
func (w *worker) readable(uid UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.setbacks, uid)
}

func (w *worker) setBackLocked(uid UID) bool {
	s, ok := w.setbacks[uid]
	return ok && time.Now().Before(s.until)
}
