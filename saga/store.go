package saga

import (
	"context"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/internal/uuidv7"
)

// Store keeps journals and spreads the work over nodes. It is the seam between the engine and a database; applications use
// sagapg or sagasqlite, and sagatest.ExerciseStore proves another implementation. All methods are safe for concurrent use.
// A store may also be a [Caller] and a [Keeper].
//
// Work is spread over lanes, a fixed number per definition and version. A lane belongs to at most one node. A node's writes
// carry its [Lease]; once another node has fenced the lease, they write nothing and return [ErrFenced].
type Store interface {
	// DB is where the journal lives, for steps that commit together with their record.
	DB() data.DB

	// Register records the definitions this process runs and creates their lanes. A definition whose fingerprint differs
	// from the recorded one is refused with an error that matches ErrShapeChanged.
	Register(ctx context.Context, defs []DefInfo) error

	// Join announces a new incarnation of a node that runs the given kinds and begins its lease, which ends ttl after its last
	// beat, by the database's clock and whatever the TTL of other nodes is.
	Join(ctx context.Context, node string, kinds []string, ttl time.Duration) (Lease, error)
	// Beat prolongs the lease and returns the database's time.
	Beat(ctx context.Context, l Lease) (time.Time, error)
	// Claim fences nodes whose last beat is older than their own TTL by the database's clock, frees their lanes, and gives this
	// node free lanes up to its fair share. It returns every lane that this node owns now, so that nothing is forgotten after
	// a lost reply. Surplus is how many lanes of each kind it should release so that others get theirs.
	Claim(ctx context.Context, l Lease) (owned []Lane, surplus map[string]int, err error)
	// Release gives lanes back. The node must not work for their sagas any more.
	Release(ctx context.Context, l Lease, lanes []int64) error
	// Leave releases every lane and ends the lease.
	Leave(ctx context.Context, l Lease) error

	// Append writes a batch, with at most one write per saga, in one commit: all of it or, when the lease is fenced, nothing.
	// The first result has one entry per write: nil, an error matching ErrConflict when a new saga's ID is taken, or one
	// matching ErrStale when a record's number holds another record; such a write alone has no effect. It keeps neither writes
	// nor their records, which are used again. A lost commit reply is resolved inside: writing identical records again is
	// harmless.
	Append(ctx context.Context, l Lease, writes []Write) ([]error, error)
	// AppendTx writes inside a transaction of DB, as its last statements. A record that exists already is an error.
	AppendTx(ctx context.Context, tx data.Tx, l Lease, w Write) error
	// Create starts a saga in any transaction, without a lease: the owner of the lane is told by mail. It returns an error
	// matching ErrConflict when the ID is taken, and one matching ErrForked when the source of a fork that takes its effects
	// over was forked so before.
	Create(ctx context.Context, tx data.Tx, w Write) error

	// Load returns the journals of sagas, in no particular order. Unknown ones are left out. One that cannot be decoded has its
	// own error in [History], and changes no other.
	Load(ctx context.Context, sagas []UID) ([]History, error)
	// Lookup finds a saga by the caller's ID; an error matches ErrNotFound.
	Lookup(ctx context.Context, id ID) (Ref, error)
	// List returns sagas that have not ended, newest first, at most limit.
	List(ctx context.Context, limit int) ([]Ref, error)
	// Recoverable returns live sagas of the lanes that are not asleep, ordered by UID, after the given one.
	Recoverable(ctx context.Context, lanes []int64, after UID, limit int) ([]Ref, error)
	// Timers returns sleeping sagas of the lanes whose sleep ends, due or not yet, ordered by Due and then UID, after the given
	// one; the zero Timer is before all. Those that sleep [Forever] are left out.
	Timers(ctx context.Context, lanes []int64, after Timer, limit int) ([]Timer, error)

	// Asleep counts the sleeping sagas of each lane; a lane without any may be left out. It must be cheap with a million of
	// them: an index is read, no journal.
	Asleep(ctx context.Context, lanes []int64) (map[int64]Asleep, error)

	// Post leaves mail for a live saga, in the caller's transaction if q is one. Mail with the same saga, kind, name and
	// dedupe key is kept once. An error matches ErrFinished when the saga is not live.
	Post(ctx context.Context, q data.Querier, m Mail) error
	// Mail returns mail for the lanes, ordered by ID, after the given one.
	Mail(ctx context.Context, lanes []int64, after int64, limit int) ([]Mail, error)
	// MailOf returns all mail for one saga, ordered by ID: what decides whether a deadline has really passed without a signal.
	MailOf(ctx context.Context, saga UID) ([]Mail, error)
	// DropMail removes mail that nobody can use any more.
	DropMail(ctx context.Context, ids []int64) error

	// Strays marks live sagas whose definition no live node has run for grace, by the database's clock, as parked for a reason
	// that [StrayReason] gives: at most limit in a call, and only if mark says so. It takes the mark from those whose definition
	// is run again. It returns how many sagas of each kind it marked, and whether there are more. Their journals stay as they
	// are. What runs may be noted late, so a grace of less than a minute counts as one.
	Strays(ctx context.Context, grace time.Duration, mark bool, limit int) (marked map[string]int, more bool, err error)

	// Search returns a page of what the query's source holds, in its order, without reading journals.
	Search(ctx context.Context, q SearchQuery) ([]Found, error)
	// Facts returns what the store keeps of a saga beside its journal; an error matches ErrNotFound.
	Facts(ctx context.Context, saga UID) (Facts, error)
}

// UID is a saga's own id, a UUIDv7.
type UID [16]byte

// String gives the usual UUID form.
func (u UID) String() string { return uuidv7.ID(u).String() }

// Lease is a node's right to write, until another node fences it.
type Lease struct {
	Node  string
	Epoch int64
	TTL   time.Duration // after its last beat others take the node for dead
}

// DefInfo is what a store remembers of a definition.
type DefInfo struct {
	Kind        string // name@version; queue/name, schedule/name
	Fingerprint string
	Lanes       int // over how many lanes it is spread; 0: as many as the store likes
}

// Lane is a share of one kind's sagas. Its epoch grows with every change of owner.
type Lane struct {
	ID    int64
	Kind  string
	Epoch int64
}

// Ref names a saga.
type Ref struct {
	UID       UID
	ID        ID
	Kind      string // name@version
	Lane      int64
	InputHash string
}

// Timer is a sleeping saga and when it is to wake.
type Timer struct {
	Ref Ref
	Due time.Time
}

// Asleep counts sleeping sagas: those that wake by themselves, and those that sleep [Forever].
type Asleep struct{ Waiting, Parked int }

// History is a saga with its journal, in order.
type History struct {
	Ref     Ref
	Records []Record
	Err     error  // the journal cannot be decoded; Records ends before the damage
	Last    Record // the newest record, whatever stands before it; only its number when it does not decode
}

// Write is what one saga adds in a commit.
type Write struct {
	Ref       Ref
	LaneEpoch int64
	New       bool      // the first write of the saga
	Records   []Record  // numbered
	Sleep     time.Time // asleep until then; zero: not asleep
	Wake      bool      // no longer asleep, whether it was or not; never together with Sleep
	MailDone  []int64   // mail that the records have taken in
	End       bool      // the saga is no longer live; one that may be asleep also wakes

	Ticket *Ticket // with New: it waits in a queue; needs a QueueStore
	Leave  bool    // with End: it gives up its place in a queue, in the same commit

	Attributes []Attribute // of the first write
	From       *ForkedFrom // of the first write of a fork
	Standing   *Standing   // what searches know of the saga changes to this
}

// Attribute is a property under which a saga can be found; see [Attributes].
type Attribute struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// ForkedFrom is the source of a fork.
type ForkedFrom struct {
	Saga UID
	Owns bool // the fork takes back what the source did, so there can be only one such fork
}

// Standing is what searches know of a saga beside being live or not. The zero value: nothing special, so it is running,
// waiting or completed.
type Standing struct {
	State  State
	Step   string
	Reason string
	Since  time.Time
}

// MailKind says what a piece of mail asks for.
type MailKind string

// The kinds of mail.
const (
	MailStart     MailKind = "start" // a saga that another process created
	MailSignal    MailKind = "signal"
	MailReply     MailKind = "reply" // of a remote step; Name is the step's key
	MailCancel    MailKind = "cancel"
	MailRetry     MailKind = "retry"
	MailTerminate MailKind = "terminate"
	MailVerb      MailKind = "verb"  // any [Verb], in the payload; Dedupe is its ticket
	MailAdmit     MailKind = "admit" // the saga's queue lets it begin
)

// Source says what a [SearchQuery] goes through, each with an index of its own.
type Source int

// The sources of a search.
const (
	FromAll       Source = iota // every saga, newest first
	FromLive                    // sagas that have not ended, newest first
	FromState                   // sagas whose [Standing] has the query's State, newest first
	FromAttribute               // sagas with the query's Attribute, newest first
	FromIDs                     // sagas whose ID begins with the query's Prefix, ordered by ID
)

// SearchQuery is one bounded step of a search.
type SearchQuery struct {
	From      Source
	State     State
	Attribute Attribute
	Prefix    ID
	Below     UID // only sagas whose UID is less; the zero UID: no bound
	Above     UID // only sagas whose UID is greater
	AfterID   ID  // of FromIDs: only greater IDs
	Limit     int
}

// Found is a saga as a search sees it.
type Found struct {
	Ref        Ref
	Live       bool
	WakesAt    time.Time // when a sleeping saga wakes by itself, [Forever] for never; zero: awake
	Standing   Standing
	Attributes []Attribute
}

// Facts is what a store keeps of a saga beside its journal.
type Facts struct {
	Found
	Mail  []Mail
	From  ID   // of a fork: its source
	Forks []ID // sagas that were forked from this one
}

// Mail is a message to a live saga from any process.
type Mail struct {
	ID       int64     // set by the store
	At       time.Time // set by the store, by the database's clock
	Saga     UID
	Lane     int64 // set by the store
	Kind     MailKind
	Name     string
	Dedupe   string
	Payload  []byte // JSON, or the sealed form of what is long or sensitive
	Rejected bool   // of a reply
	Actor    string
	Reason   string

	sensitive bool
	err       error // the payload cannot be opened
}

// Forever is the sleep of a parked saga.
var Forever = time.UnixMicro(1<<62 - 1).UTC()

// untilAdmitted is the sleep of a saga that waits in a queue: unlike a parked one it needs nobody's help.
var untilAdmitted = Forever.Add(-time.Microsecond)
