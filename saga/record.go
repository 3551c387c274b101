package saga

import (
	"encoding/json"
	"fmt"
	"time"
)

// ID is the caller's name for a saga, unique in a store: an order number, a hash of an idempotency key. At most 200 bytes.
type ID string

// RecordKind says what a journal record states.
type RecordKind uint8

// The kinds of records. Their numbers are stored and never change meaning.
const (
	Started    RecordKind = 1  // the saga exists; Payload is its input
	Done       RecordKind = 2  // a node is done, or with Undo taken back; Payload is its result
	Failed     RecordKind = 3  // an attempt failed; the next one is not before Due
	Rejected   RecordKind = 4  // a step refused: no effect
	Unknown    RecordKind = 5  // a step's outcome will not become known
	Branched   RecordKind = 6  // a condition was evaluated
	Armed      RecordKind = 7  // a wait began and ends at Due
	Signalled  RecordKind = 8  // a signal arrived
	Expired    RecordKind = 9  // the deadline of an await passed
	Cancelled  RecordKind = 10 // somebody asked for compensation
	Parked     RecordKind = 11 // the saga cannot go on by itself
	Resumed    RecordKind = 12 // somebody asked to try again
	Terminated RecordKind = 13 // somebody stopped the saga without compensation
	Ended      RecordKind = 14 // nothing is left to do
	Opened     RecordKind = 15 // an each got its items, or a child its input; Payload holds them

	// What operators do, each in one record with Actor and Reason. Of Refused, Name is the verb and Reason why it was not applied.
	Paused    RecordKind = 16
	Continued RecordKind = 17 // a pause is over
	Skipped   RecordKind = 18
	Resolved  RecordKind = 19 // Payload is the result
	Forked    RecordKind = 20 // what stands before it was taken from the saga in Name
	Refused   RecordKind = 21

	Late RecordKind = 22 // an attempt that had been given up succeeded after all; it is undone

	Admitted RecordKind = 23 // the saga's queue lets it begin
)

var recordKindNames = [...]string{
	"", "started", "done", "failed", "rejected", "unknown", "branched", "armed", "signalled", "expired",
	"cancelled", "parked", "resumed", "terminated", "ended", "opened",
	16: "paused", 17: "continued", 18: "skipped", 19: "resolved", 20: "forked", 21: "refused", 22: "late", 23: "admitted",
}

// String names the kind.
func (k RecordKind) String() string {
	if int(k) < len(recordKindNames) {
		return recordKindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Outcome is how a saga ended.
type Outcome string

// The terminal outcomes.
const (
	Completed        Outcome = "completed"
	Compensated      Outcome = "compensated"
	TerminatedByHand Outcome = "terminated"
	outcomeNone      Outcome = ""
)

// Record is one entry of a saga's journal: insert-only, numbered from 1 without gaps. The whole state of a saga follows
// from its records.
type Record struct {
	Seq     int64
	Kind    RecordKind
	At      time.Time         // when it was made, by the database's clock as this node knows it; informative
	Node    string            // the step, or "" for the saga as a whole
	Undo    bool              // the record is about the compensation
	Attempt int               // of Failed: how many attempts have failed
	Due     time.Time         // of Failed and Armed
	Payload json.RawMessage   // input, result, signal
	Sealed  []byte            // instead of Payload in the store, when that is long or sensitive; the engine seals and opens
	Reason  string            // of what went wrong, or why somebody intervened
	Actor   string            // who intervened
	Name    string            // of Signalled: the signal; of Started: the queue it waits in
	Dedupe  string            // of Signalled: the sender's key; of Started: the key in the queue; of what an operator did: the ticket
	Taken   bool              // of Branched
	Open    []string          // steps that may have been attempted and have no outcome yet, when a saga turns back
	Meta    map[string]string // of Started: correlation and trace headers
	End     Outcome           // set on the record that ends the saga

	value any // what Payload decodes to, where that is known already
}
