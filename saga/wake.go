package saga

import (
	"context"
	"crypto/rand"
	mathrand "math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/marty-framework/mmf/internal/uuidv7"
)

// Caller is a [Store] through which processes call each other. Calls only save waiting: one that is lost, because nobody
// listens or a pooler swallows it, costs a [Config.Poll]. Its methods are safe for concurrent use.
type Caller interface {
	// Call tells every listener a message of at most 7,500 bytes.
	Call(ctx context.Context, message string) error
	// Listen returns when ctx ends or the connection is lost. Ready is called when messages that are sent from then on are
	// heard; heard is called with each, one after the other. Both return quickly.
	Listen(ctx context.Context, ready func(), heard func(message string)) error
}

// What processes tell each other, as words of a message.
const (
	wordClaim = "c" // lanes have become free
	wordMail  = "l" // with a lane, 0 for any: mail was left for it
	wordPing  = "p" // with a listener's own mark: whether it hears anything
	wordWatch = "w" // with a saga and its lane: somebody waits for its end
	wordEnded = "e" // with a saga: it ended, or may have
)

const (
	// callEvery is the least time between two messages of one process; what comes meanwhile goes together.
	callEvery = 10 * time.Millisecond
	maxCall   = 7_500
	// calmPolls is how many polls a node that hears its own voice waits between two looks.
	calmPolls = 20
	// maxWatched bounds the sagas for whose end other processes wait.
	maxWatched = 100_000
)

// calls sends words to other processes, together. It needs no goroutine of its own between them.
type calls struct {
	to Caller // nil: nobody can be told

	mu    sync.Mutex
	words map[string]struct{}
	sent  time.Time
	armed bool
}

// say tells other processes a word, soon. That it may not arrive is no error: everybody also looks from time to time.
func (c *calls) say(word string) {
	if c.to == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.words == nil {
		c.words = map[string]struct{}{}
	}
	c.words[word] = struct{}{}
	if !c.armed {
		c.armed = true
		time.AfterFunc(max(0, callEvery-time.Since(c.sent)), func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			c.flush(ctx)
		})
	}
}

// now tells a word before it returns.
func (c *calls) now(ctx context.Context, word string) {
	if c.to != nil {
		_ = c.to.Call(ctx, word)
	}
}

func (c *calls) flush(ctx context.Context) {
	c.mu.Lock()
	words := c.words
	c.words, c.armed, c.sent = nil, false, time.Now()
	c.mu.Unlock()
	var b strings.Builder
	for word := range words {
		if b.Len()+len(word) >= maxCall {
			_ = c.to.Call(ctx, b.String())
			b.Reset()
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(word)
	}
	_ = c.to.Call(ctx, b.String())
}

// announce says that mail was left for a lane; 0 when it is not known for which.
func (e *Engine) announce(lane int64) {
	if w := e.current(); w != nil {
		w.hint()
		if w.open(lane) {
			return
		}
	}
	e.calls.say(wordMail + strconv.FormatInt(lane, 10))
}

// announceSoon says it for mail in a transaction of the caller's, of which nobody tells when it commits.
func (e *Engine) announceSoon() {
	for _, after := range []time.Duration{25 * time.Millisecond, 250 * time.Millisecond} {
		time.AfterFunc(after, func() { e.announce(0) })
	}
}

// askFor says that this process waits for the end of a saga that another one works for, if it can hear the answer.
func (e *Engine) askFor(ref Ref) {
	if w := e.current(); w != nil && w.ears.hear() {
		e.calls.say(wordWatch + ref.UID.String() + "," + strconv.FormatInt(ref.Lane, 10))
	}
}

// watched notes that another process waits for the end of a saga. If it is not in memory it may have ended.
func (e *Engine) watched(w *worker, uid UID, lane int64) {
	if lane != 0 && !w.open(lane) {
		return
	}
	w.mu.Lock()
	_, here := w.acts[uid]
	w.mu.Unlock()
	e.mu.Lock()
	if e.waiting == nil || len(e.waiting) >= maxWatched {
		e.waiting = map[UID]struct{}{}
	}
	e.waiting[uid] = struct{}{}
	e.mu.Unlock()
	if !here && lane != 0 {
		e.calls.say(wordEnded + uid.String())
	}
}

// lookAgain makes those who wait in this process for a saga read its journal.
func (e *Engine) lookAgain(uid UID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ch := range e.watchers[uid] {
		if len(ch) == 0 {
			ch <- ending{again: true}
		}
	}
}

// ears are what a worker knows of its own hearing.
type ears struct {
	mu    sync.Mutex
	mark  string // of the newest ping
	heard bool   // it came back
}

// hear reports whether the last ping came back.
func (e *ears) hear() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard
}

func (e *ears) deaf() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mark, e.heard = "", false
}

// ping makes a new mark. Until it comes back, the old state counts.
func (e *ears) ping() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mark = rand.Text()
	return wordPing + e.mark
}

// checkEars asks whether this worker still hears, at every look that nobody asked for.
func (w *worker) checkEars() {
	e := &w.ears
	e.mu.Lock()
	listens := e.mark != ""
	if listens && !strings.HasPrefix(e.mark, "+") {
		e.heard = false // the last one did not come back
	}
	e.mu.Unlock()
	if listens {
		w.e.calls.say(e.ping())
	}
}

// listen hears what other processes say, for as long as the worker lives.
func (w *worker) listen() {
	to := w.e.calls.to
	if to == nil {
		return
	}
	for pause := 100 * time.Millisecond; w.ctx.Err() == nil; pause = min(2*pause, 5*time.Second) {
		began := time.Now()
		err := to.Listen(w.ctx, func() {
			w.e.calls.say(w.ears.ping())
			w.hint() // for what was said meanwhile
			w.claimSoon()
		}, w.hears)
		w.ears.deaf()
		w.hint()
		if w.ctx.Err() != nil {
			return
		}
		w.e.fail(w.ctx, err)
		if time.Since(began) > 10*time.Second {
			pause = 100 * time.Millisecond
		}
		select {
		case <-w.ctx.Done():
		case <-time.After(pause/2 + mathrand.N(pause)):
		}
	}
}

// claimSoon makes the worker look at once for lanes to take or to give.
func (w *worker) claimSoon() {
	select {
	case w.claimNow <- struct{}{}:
	default:
	}
}

// hears takes a message in.
func (w *worker) hears(message string) {
	for word := range strings.FieldsSeq(message) {
		kind, rest := word[:1], word[1:]
		switch kind {
		case wordClaim:
			w.claimSoon()
		case wordMail:
			if lane, err := strconv.ParseInt(rest, 10, 64); err == nil && (lane == 0 || w.open(lane)) {
				w.hint()
			}
		case wordPing:
			w.ears.mu.Lock()
			if rest == w.ears.mark {
				w.ears.mark, w.ears.heard = "+"+rest, true
			}
			w.ears.mu.Unlock()
		case wordWatch:
			id, lane, _ := strings.Cut(rest, ",")
			n, err := strconv.ParseInt(lane, 10, 64)
			if uid, bad := uuidv7.Parse(id); bad == nil && err == nil {
				w.e.watched(w, UID(uid), n)
			}
		case wordEnded:
			if uid, err := uuidv7.Parse(rest); err == nil {
				w.e.lookAgain(UID(uid))
			}
		}
	}
}
