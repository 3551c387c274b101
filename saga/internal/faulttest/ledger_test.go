package faulttest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/saga"
)

// entry is what a participant did when it was asked. Applied: its state changed now.
type entry struct {
	Saga, Step, Dir, Key, Worker string
	Attempt                      int
	Effect                       string        // applied, duplicate, rejected, failed
	Done, Undone                 []string      `json:",omitempty"` // what the journal held when the question came
	At                           time.Duration // since the ledger began
}

type event struct {
	Worker, Ev, Saga, Text string
	At                     time.Duration
}

// ledger is the participants, and the truth about what they did: they live outside of the workers, apply each key once, write
// it to a file and sync that before they answer. A compensation of what never happened leaves a mark, so that the step is
// refused when it comes late.
type ledger struct {
	t     *testing.T
	url   string
	began time.Time
	store saga.Store // to look into the journal, past all faults; nil: does not look

	mu      sync.Mutex
	file    *os.File
	keys    map[string]bool // applied
	undone  map[string]bool // saga/step
	asked   map[string]int  // by key
	entries []entry
	events  []event
	hold    func(entry) // called before the answer, when set
	away    bool
	changed chan struct{}
}

func newLedger(t *testing.T, store saga.Store) *ledger {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "ledger"))
	require.NoError(t, err)
	l := &ledger{
		t: t, began: time.Now(), store: store, file: f, keys: map[string]bool{}, undone: map[string]bool{}, asked: map[string]int{},
		changed: make(chan struct{}),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /act", l.act)
	mux.HandleFunc("POST /event", func(_ http.ResponseWriter, r *http.Request) {
		l.note(event{Worker: r.FormValue("worker"), Ev: r.FormValue("ev"), Saga: r.FormValue("saga"), Text: r.FormValue("text")})
	})
	s := httptest.NewServer(mux)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
		require.NoError(t, f.Close())
	})
	l.url = s.URL
	return l
}

func (l *ledger) note(e event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.At = time.Since(l.began)
	l.events = append(l.events, e)
	close(l.changed)
	l.changed = make(chan struct{})
}

// wait returns when an event has come that suits.
func (l *ledger) wait(what string, suits func(event) bool) event {
	l.t.Helper()
	limit := time.After(90 * time.Second)
	for seen := 0; ; {
		l.mu.Lock()
		for ; seen < len(l.events); seen++ {
			if e := l.events[seen]; suits(e) {
				l.mu.Unlock()
				return e
			}
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-limit:
			l.t.Fatalf("no event: %s; there were %v", what, l.all())
		}
	}
}

func (l *ledger) all() []event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]event(nil), l.events...)
}

func (l *ledger) count(ev string) (n int) {
	for _, e := range l.all() {
		if e.Ev == ev {
			n++
		}
	}
	return n
}

// journal tells which nodes are recorded as done and as taken back.
func (l *ledger) journal(r *http.Request, id string) (done, undone []string, err error) {
	if l.store == nil {
		return nil, nil, nil
	}
	ref, err := l.store.Lookup(r.Context(), saga.ID(id))
	if err != nil {
		return nil, nil, err
	}
	h, err := l.store.Load(r.Context(), []saga.UID{ref.UID})
	if err != nil {
		return nil, nil, err
	}
	for _, rec := range h[0].Records {
		switch {
		case rec.Kind == saga.Done && rec.Undo:
			undone = append(undone, rec.Node)
		case rec.Kind == saga.Done:
			done = append(done, rec.Node)
		}
	}
	return done, undone, nil
}

func (l *ledger) act(w http.ResponseWriter, r *http.Request) {
	attempt, _ := strconv.Atoi(r.FormValue("attempt"))
	e := entry{
		Saga: r.FormValue("saga"), Step: r.FormValue("step"), Dir: r.FormValue("dir"), Key: r.FormValue("key"), Worker: r.FormValue("worker"),
		Attempt: attempt,
	}
	var err error
	if e.Done, e.Undone, err = l.journal(r, e.Saga); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway) // nothing happened
		return
	}
	status, hold := l.decide(&e, r.FormValue("class"))
	if hold != nil {
		hold(e)
	}
	w.WriteHeader(status)
	_, _ = fmt.Fprint(w, e.Effect)
}

// decide applies the rules of the participants: charges fail once before, right answers are lost once, the first undo of a
// charge fails, and the last step of the class "back" is refused.
func (l *ledger) decide(e *entry, class string) (status int, hold func(entry)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.At = time.Since(l.began)
	l.asked[e.Key]++
	first := l.asked[e.Key] == 1
	place, undo := e.Saga+"/"+e.Step, e.Dir == string(saga.Undo)
	switch {
	case l.away, e.Step == "charge" && first:
		e.Effect, status = "failed", http.StatusServiceUnavailable
	case e.Step == "last" && class == "back", !undo && l.undone[place]:
		e.Effect, status = "rejected", http.StatusConflict
	case l.keys[e.Key]:
		e.Effect, status = "duplicate", http.StatusOK
	default:
		e.Effect, status = "applied", http.StatusOK
		l.keys[e.Key] = true
		if undo {
			l.undone[place] = true
		}
		if e.Step == "right" && first {
			status = http.StatusGatewayTimeout // it happened, and the caller does not learn it
		}
	}
	l.entries = append(l.entries, *e)
	raw, err := json.Marshal(e)
	if err == nil {
		_, err = l.file.Write(append(raw, '\n'))
	}
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		l.t.Errorf("ledger: %v", err)
	}
	return status, l.hold
}

// of returns what was done for the sagas whose id begins so, in order.
func (l *ledger) of(prefix string) (out []entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if strings.HasPrefix(e.Saga, prefix) {
			out = append(out, e)
		}
	}
	return out
}

func (l *ledger) set(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}
