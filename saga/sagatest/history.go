package sagatest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/marty-framework/mmf/saga"
)

// History is what was recorded of a run by sources that know nothing of each other. [Check] looks at it afterwards. All times
// are nanoseconds of one clock: a process-level run takes them from the machine's monotonic clock, so they compare.
type History struct {
	Client  []ClientOp
	Effects []Effect
	Journal []JournalEntry
	Events  []TopicEvent
	Inbox   []InboxEffect
	Workers []WorkerEvent
}

// The outcomes of a client's operation.
const (
	OK      = "ok"
	Fail    = "fail"
	Unknown = "unknown" // no answer came
)

// ClientOp is what a client asked and was told. Src is "C".
type ClientOp struct {
	Op    string `json:"op"`            // start, get, cancel, signal
	Key   string `json:"key,omitempty"` // of a start: the caller's id or idempotency key, with whatever scopes it
	Input string `json:"input,omitempty"`
	Saga  string `json:"saga,omitempty"` // as the system answered
	Inv   int64  `json:"inv_ns"`
	Ret   int64  `json:"ret_ns"`
	Out   string `json:"out"`             // OK, Fail or Unknown
	State string `json:"state,omitempty"` // as the system answered: of a get, and of a cancel that was refused behind the pivot
}

// What a participant did with a command.
const (
	Applied   = "applied"   // its state changed
	Duplicate = "duplicate" // it knew the key
	Refused   = "rejected"
	Reached   = "reached" // the command arrived; nothing is said of its effect
)

// Effect is one line of a participant's ledger, which lies outside of the system under test. Src is "P".
type Effect struct {
	Seq     int64  `json:"seq"`
	Saga    string `json:"saga"`
	Step    string `json:"step"`
	Undo    bool   `json:"undo,omitempty"`
	Key     string `json:"idem"`
	Attempt int    `json:"attempt,omitempty"`
	Effect  string `json:"effect"` // Applied exactly when the participant's state changed
	At      int64  `json:"t_ns"`
	// Participant names the ledger, where there are several.
	Participant string `json:"participant,omitempty"`
}

// JournalEntry is a record of the journal, dumped after the run. Src is "J". At is when the append was made, or acknowledged
// where the recorder knows.
type JournalEntry struct {
	Saga    string   `json:"saga"`
	Def     string   `json:"def"` // name@version
	Seq     int64    `json:"seq"`
	Epoch   int64    `json:"epoch,omitempty"`  // of the lane; zero: not recorded
	Worker  string   `json:"worker,omitempty"` // incarnation that wrote it, where the recorder knows
	Kind    string   `json:"kind"`             // as saga.RecordKind names it
	Step    string   `json:"step,omitempty"`
	Undo    bool     `json:"undo,omitempty"`
	Attempt int      `json:"attempt,omitempty"`
	Taken   bool     `json:"taken,omitempty"` // of a branch
	Due     int64    `json:"due_ns,omitempty"`
	End     string   `json:"end,omitempty"` // the outcome, on the record that ends the saga
	Open    []string `json:"open,omitempty"`
	At      int64    `json:"t_ns"`
}

// TopicEvent is one message of a topic as an independent consumer read it, in the order of the partition. Src is "K".
type TopicEvent struct {
	Topic     string `json:"topic"`
	Partition int    `json:"part"`
	Offset    int64  `json:"off"`
	ID        string `json:"event_id"`
	Aggregate string `json:"aggregate,omitempty"`
	Version   int64  `json:"agg_version,omitempty"`
	Type      string `json:"type,omitempty"`
}

// InboxEffect is the effect that a consumer's handler had. Src is "E".
type InboxEffect struct {
	Consumer string `json:"consumer"`
	ID       string `json:"event_id"`
	Seq      int64  `json:"effect_seq"`
	Dead     bool   `json:"dead,omitempty"` // it went to the dead letters instead
}

// WorkerEvent is what happened to a worker, faults included. Src is "W".
type WorkerEvent struct {
	Worker string `json:"worker"`
	Boot   int    `json:"boot,omitempty"`
	Event  string `json:"ev"` // start, kill, stop, cont, cut, heal, claim, lost
	Saga   string `json:"saga,omitempty"`
	At     int64  `json:"t_ns"`
}

// JournalOf turns journals as a store loads them into entries. Epochs and workers are not part of them.
func JournalOf(histories ...saga.History) []JournalEntry {
	var out []JournalEntry
	for _, h := range histories {
		for _, r := range h.Records {
			e := JournalEntry{
				Saga: string(h.Ref.ID), Def: h.Ref.Kind, Seq: r.Seq, Kind: r.Kind.String(), Step: r.Node, Undo: r.Undo, Attempt: r.Attempt,
				Taken: r.Taken, End: string(r.End), Open: r.Open, At: r.At.UnixNano(),
			}
			if !r.Due.IsZero() {
				e.Due = r.Due.UnixNano()
			}
			out = append(out, e)
		}
	}
	return out
}

// Recorder writes a history as JSON lines, one object each, whose member src names the source. It is safe for concurrent use;
// several processes write files of their own, which [ReadHistory] merges.
type Recorder struct {
	mu  sync.Mutex
	w   *bufio.Writer
	err error
}

// NewRecorder makes a recorder. Every line is flushed to w, so that a killed process loses none.
func NewRecorder(w io.Writer) *Recorder { return &Recorder{w: bufio.NewWriter(w)} }

// Add writes one entry: a [ClientOp], [Effect], [JournalEntry], [TopicEvent], [InboxEffect] or [WorkerEvent].
func (r *Recorder) Add(entry any) error {
	src, err := sourceOf(entry)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(entry)
	if err != nil {
		return fmt.Errorf("sagatest: record a %T: %w", entry, err)
	}
	line := append([]byte(`{"src":"`+src+`",`), raw[1:]...)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		_, err := r.w.Write(append(line, '\n'))
		r.err = errors.Join(err, r.w.Flush())
	}
	return r.err
}

func sourceOf(entry any) (string, error) {
	switch entry.(type) {
	case ClientOp:
		return "C", nil
	case Effect:
		return "P", nil
	case JournalEntry:
		return "J", nil
	case TopicEvent:
		return "K", nil
	case InboxEffect:
		return "E", nil
	case WorkerEvent:
		return "W", nil
	}
	return "", fmt.Errorf("sagatest: a %T is no entry of a history", entry)
}

// WriteTo writes the whole history through a [Recorder].
func (h History) WriteTo(w io.Writer) (int64, error) {
	count := &counter{w: w}
	r := NewRecorder(count)
	var errs []error
	add := func(entry any) { errs = append(errs, r.Add(entry)) }
	for _, e := range h.Client {
		add(e)
	}
	for _, e := range h.Effects {
		add(e)
	}
	for _, e := range h.Journal {
		add(e)
	}
	for _, e := range h.Events {
		add(e)
	}
	for _, e := range h.Inbox {
		add(e)
	}
	for _, e := range h.Workers {
		add(e)
	}
	return count.n, errors.Join(errs...)
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// ReadHistory reads what recorders wrote and merges it. A last line without its end, from a process that was killed while it
// wrote, is left out; any other damage is an error that names the line.
func ReadHistory(sources ...io.Reader) (History, error) {
	var h History
	for i, src := range sources {
		in := bufio.NewReader(src)
		for n := 1; ; n++ {
			line, err := in.ReadBytes('\n')
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil {
				err = h.add(line)
			}
			if err != nil {
				return h, fmt.Errorf("sagatest: history %d, line %d: %w", i+1, n, err)
			}
		}
	}
	return h, nil
}

func (h *History) add(line []byte) error {
	var head struct {
		Src string `json:"src"`
	}
	if err := json.Unmarshal(line, &head); err != nil {
		return err
	}
	switch head.Src {
	case "C":
		return into(&h.Client, line)
	case "P":
		return into(&h.Effects, line)
	case "J":
		return into(&h.Journal, line)
	case "K":
		return into(&h.Events, line)
	case "E":
		return into(&h.Inbox, line)
	case "W":
		return into(&h.Workers, line)
	}
	return fmt.Errorf("no source is called %q", head.Src)
}

func into[E any](list *[]E, line []byte) error {
	var e E
	if err := json.Unmarshal(line, &e); err != nil {
		return err
	}
	*list = append(*list, e)
	return nil
}
