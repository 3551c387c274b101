package saga_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagasqlite"
)

// hooked is a store that calls a test's functions around its own. An error of a before-function means that nothing was
// done; one of an after-function, that the reply was lost.
type hooked struct {
	saga.Store
	beforeAppend, afterAppend func([]saga.Write) error
	beforeLoad                func([]saga.UID) error
	afterMail                 func([]saga.Mail)
	beforeRelease             func() error
	beforeRecoverable         func() error
	afterClaim                func() error
	beforeBeat                func() error
	beforeRegister            func() error
}

func (h *hooked) Register(ctx context.Context, defs []saga.DefInfo) error {
	if h.beforeRegister != nil {
		if err := h.beforeRegister(); err != nil {
			return err
		}
	}
	return h.Store.Register(ctx, defs)
}

func (h *hooked) Beat(ctx context.Context, l saga.Lease) (time.Time, error) {
	if h.beforeBeat != nil {
		if err := h.beforeBeat(); err != nil {
			return time.Time{}, err
		}
	}
	return h.Store.Beat(ctx, l)
}

func (h *hooked) Claim(ctx context.Context, l saga.Lease) ([]saga.Lane, map[string]int, error) {
	lanes, surplus, err := h.Store.Claim(ctx, l)
	if err == nil && h.afterClaim != nil {
		err = h.afterClaim()
	}
	return lanes, surplus, err
}

func (h *hooked) Append(ctx context.Context, l saga.Lease, writes []saga.Write) ([]error, error) {
	if h.beforeAppend != nil {
		if err := h.beforeAppend(writes); err != nil {
			return nil, err
		}
	}
	results, err := h.Store.Append(ctx, l, writes)
	if err == nil && h.afterAppend != nil {
		err = h.afterAppend(writes)
	}
	return results, err
}

func (h *hooked) Load(ctx context.Context, sagas []saga.UID) ([]saga.History, error) {
	if h.beforeLoad != nil {
		if err := h.beforeLoad(sagas); err != nil {
			return nil, err
		}
	}
	return h.Store.Load(ctx, sagas)
}

func (h *hooked) Mail(ctx context.Context, lanes []int64, after int64, limit int) ([]saga.Mail, error) {
	mail, err := h.Store.Mail(ctx, lanes, after, limit)
	if err == nil && h.afterMail != nil {
		h.afterMail(mail)
	}
	return mail, err
}

func (h *hooked) Release(ctx context.Context, l saga.Lease, lanes []int64) error {
	if h.beforeRelease != nil {
		if err := h.beforeRelease(); err != nil {
			return err
		}
	}
	return h.Store.Release(ctx, l, lanes)
}

func (h *hooked) Recoverable(ctx context.Context, lanes []int64, after saga.UID, limit int) ([]saga.Ref, error) {
	if h.beforeRecoverable != nil {
		if err := h.beforeRecoverable(); err != nil {
			return nil, err
		}
	}
	return h.Store.Recoverable(ctx, lanes, after, limit)
}

var (
	errLost = &data.Error{Kind: data.KindUnknown, Code: "test", Err: errors.New("the reply was lost")}
	errDown = &data.Error{Kind: data.KindUnavailable, Code: "test", Err: errors.New("the database is away")}
	errOdd  = &data.Error{Kind: data.KindOther, Code: "test", Err: errors.New("the statement was refused")}
)

func sqliteStore(t *testing.T) saga.Store {
	t.Helper()
	s, err := sagasqlite.New(t.Context(), datatest.SQLite(t))
	require.NoError(t, err)
	return s
}

func has(writes []saga.Write, kind saga.RecordKind, node string) bool {
	return slices.ContainsFunc(writes, func(w saga.Write) bool {
		return slices.ContainsFunc(w.Records, func(r saga.Record) bool { return r.Kind == kind && r.Node == node })
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 15*time.Second, 2*time.Millisecond, what)
}

func state(t *testing.T, e *saga.Engine, id saga.ID) saga.State {
	st, err := e.Status(t.Context(), id)
	if err != nil {
		return ""
	}
	return st.State
}

func step(name string, do func(saga.Ctx) error) *saga.StepNode[trip, saga.None] {
	return saga.Step(name, func(c saga.Ctx, _ trip) (saga.None, error) { return saga.None{}, do(c) })
}

func nothing(saga.Ctx) error { return nil }

// held is a channel that a step waits for, together with its context.
func held(c context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-c.Done():
		return context.Cause(c)
	}
}

// A cancel and the pivot's result that are noticed together must not turn a saga back whose pivot is done. SAFE-9.
func TestCancelTogetherWithThePivotsResult(t *testing.T) {
	t.Parallel()
	note := saga.NewSignal[bool]("note")
	paying, paid, posted := make(chan struct{}), make(chan struct{}), make(chan struct{})
	pay := saga.Pivot("pay", func(c saga.Ctx, _ trip) (saga.None, error) { close(paying); return saga.None{}, held(c, paid) })
	def := saga.Define("trip", 1, step("a", nothing).Undo(func(saga.Ctx, trip, saga.None) error { return nil }), pay,
		saga.When("never", func(trip) bool { return false }, saga.Await(note, func(*trip, bool) error { return nil }).Within(time.Hour).
			OnDeadline(saga.Retriable("r", func(saga.Ctx, trip) (saga.None, error) { return saga.None{}, nil }))))
	next := saga.Define("next", 1, step("n", func(saga.Ctx) error { close(posted); return nil }))
	writing, write, cancelled := make(chan struct{}), make(chan struct{}), make(chan struct{}, 1000)
	s := &hooked{Store: sqliteStore(t)}
	s.beforeAppend = func(writes []saga.Write) error {
		if has(writes, saga.Signalled, "") {
			close(writing)
			<-write
		}
		return nil
	}
	s.afterMail = func(mail []saga.Mail) {
		if slices.ContainsFunc(mail, func(m saga.Mail) bool { return m.Kind == saga.MailCancel }) {
			cancelled <- struct{}{}
		}
	}
	e, _ := engine(t, saga.Config{Concurrency: 1}, s, def, next)
	eventually(t, "runs", e.Running)
	run, err := def.Start(within(t), e, "t1", trip{})
	require.NoError(t, err)
	<-paying
	_, err = next.Start(within(t), e, "n1", trip{}) // its step gets the one place when the pivot's result is in the queue
	require.NoError(t, err)
	require.NoError(t, note.Send(within(t), e, "t1", true))
	<-writing // the saga is busy from here on
	require.NoError(t, e.Cancel(within(t), "t1", "ann", "too late"))
	<-cancelled
	<-cancelled // the first look handed it over
	close(paid)
	<-posted
	close(write)
	_, err = run.Result(within(t))
	require.NoError(t, err)
}

// Mail may reach a saga before its starter tells the engine that it exists. SAFE-8.
func TestCancelOvertakesTheStart(t *testing.T) {
	t.Parallel()
	l := &log{}
	def := saga.Define("trip", 1, stop(l, "a"))
	s := &hooked{Store: sqliteStore(t)}
	looked := make(chan struct{}, 1000)
	s.afterMail = func(mail []saga.Mail) {
		if len(mail) > 0 {
			looked <- struct{}{}
		}
	}
	var e *saga.Engine
	hooks := saga.Hooks{Started: func(ctx context.Context, ev saga.SagaEvent) {
		if err := e.Cancel(ctx, ev.ID, "ann", "at once"); err != nil {
			t.Error(err)
		}
		<-looked
		<-looked       // the first look handed it over
		for range 30 { // in vain: nothing may happen before the start is told
			if state(t, e, ev.ID) == "compensated" {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}}
	e, end := engine(t, saga.Config{Hooks: hooks}, s, def)
	eventually(t, "runs", e.Running)
	run, err := def.Start(within(t), e, "t1", trip{})
	require.NoError(t, err)
	_, err = run.Result(within(t))
	var ce *saga.CompensatedError
	require.ErrorAs(t, err, &ce)
	end()
	require.Equal(t, slices.Contains(l.all(), "do a"), slices.Contains(l.all(), `undo a known=true result="a"`), "%v", l.all())
}

// What waits in one branch is looked at in time although a step runs in another.
func TestTimersOfABranchDoNotWaitForItsSibling(t *testing.T) {
	t.Parallel()
	freed := make(chan struct{})
	tries := 0
	flaky := step("flaky", func(saga.Ctx) error {
		if tries++; tries < 3 {
			return errors.New("again")
		}
		close(freed)
		return nil
	}).Retry(quick)
	slow := step("slow", func(c saga.Ctx) error { return held(c, freed) }).Retry(saga.Retry{Max: 1}).Timeout(10 * time.Second)
	def := saga.Define("trip", 1, saga.Parallel("both", slow,
		saga.Sequence("branch", saga.Sleep("nap", func(trip) time.Duration { return 20 * time.Millisecond }), flaky)))
	e, _ := engine(t, saga.Config{}, sqliteStore(t), def)
	run, err := def.Start(within(t), e, "t1", trip{})
	require.NoError(t, err)
	_, err = run.Result(within(t))
	require.NoError(t, err)
}

// Trying a parked saga again must not end the waits beside the step that failed.
func TestRetryLeavesDeadlinesAlone(t *testing.T) {
	t.Parallel()
	ok := saga.NewSignal[bool]("ok")
	tries := 0
	broken := saga.Retriable("broken", func(saga.Ctx, trip) (saga.None, error) {
		if tries++; tries == 1 {
			return saga.None{}, errors.New("broken")
		}
		return saga.None{}, nil
	}).Retry(saga.Retry{Max: 1})
	def := saga.Define("trip", 1, saga.Parallel("both", broken,
		saga.Await(ok, func(*trip, bool) error { return nil }).Within(time.Hour)))
	e, _ := engine(t, saga.Config{}, sqliteStore(t), def)
	run, err := def.Start(within(t), e, "t1", trip{})
	require.NoError(t, err)
	_, err = run.Result(within(t))
	var parked *saga.ParkedError
	require.ErrorAs(t, err, &parked)
	require.NoError(t, e.Retry(within(t), "t1", "ann", "mended"))
	eventually(t, "resumes", func() bool { return state(t, e, "t1") != saga.StateParked })
	require.NoError(t, ok.Send(within(t), e, "t1", true))
	_, err = run.Result(within(t))
	require.NoError(t, err)
}

// A look at the mailbox that began before a piece of mail was taken in must not deliver it a second time.
func TestMailIsTakenOnce(t *testing.T) {
	t.Parallel()
	knock := saga.NewSignal[bool]("knock")
	fold := func(*trip, bool) error { return nil }
	taken := make(chan struct{})
	def := saga.Define("trip", 1, saga.Await(knock, fold).Named("one").Within(time.Hour),
		step("between", func(saga.Ctx) error { close(taken); return nil }), saga.Await(knock, fold).Named("two").Within(time.Hour))
	seen, looks := make(chan struct{}), 0
	again := make(chan struct{})
	s := &hooked{Store: sqliteStore(t)}
	s.beforeAppend = func(writes []saga.Write) error {
		if has(writes, saga.Signalled, "") {
			<-seen
		}
		return nil
	}
	s.afterMail = func(mail []saga.Mail) {
		if slices.ContainsFunc(mail, func(m saga.Mail) bool { return m.Kind == saga.MailSignal }) { // not that of a start
			if looks++; looks == 2 { // the mail is still there, and is being taken in
				close(seen)
				<-taken
			}
		} else if looks == 2 {
			close(again)
			looks++
		}
	}
	e, _ := engine(t, saga.Config{}, s, def)
	_, err := def.Start(within(t), e, "t1", trip{})
	require.NoError(t, err)
	require.NoError(t, knock.Send(within(t), e, "t1", true))
	<-again
	require.NoError(t, e.Cancel(within(t), "t1", "ann", "enough"))
	eventually(t, "ends", func() bool { return state(t, e, "t1") == "compensated" })
	history, err := e.History(within(t), "t1")
	require.NoError(t, err)
	require.Len(t, slices.DeleteFunc(history, func(r saga.Record) bool { return r.Kind != saga.Signalled }), 1)
}

// A result that arrives while the journal cannot be read is not lost, and blocks nothing.
func TestResultWhileTheJournalCannotBeRead(t *testing.T) {
	t.Parallel()
	var failLoad atomic.Bool
	aFailed, finished := make(chan struct{}), make(chan struct{})
	failA := true
	s := &hooked{Store: sqliteStore(t)}
	s.beforeAppend = func(writes []saga.Write) error {
		if has(writes, saga.Done, "a") && failA {
			failA = false
			close(aFailed)
			return errOdd
		}
		return nil
	}
	runs := 0
	def := saga.Define("trip", 1, saga.Parallel("both", step("a", nothing), step("b", func(c saga.Ctx) error { runs++; return held(c, aFailed) })))
	s.beforeLoad = func([]saga.UID) error {
		select {
		case <-aFailed:
			if failLoad.CompareAndSwap(false, true) {
				return errDown
			}
		default:
		}
		return nil
	}
	hooks := saga.Hooks{Finished: func(context.Context, saga.SagaEvent) { close(finished) }}
	e, _ := engine(t, saga.Config{Hooks: hooks}, s, def)
	eventually(t, "runs", e.Running)
	_, err := def.Start(within(t), e, "t1", trip{})
	require.NoError(t, err)
	require.NoError(t, held(within(t), finished))
	require.True(t, failLoad.Load())
	require.Equal(t, saga.State(saga.Completed), state(t, e, "t1"))
	require.Equal(t, 1, runs, "b's result was kept")
}

// A saga behind its pivot never turns back, whatever a signal says. SAFE-9.
func TestRefusedSignalBehindThePivotParks(t *testing.T) {
	t.Parallel()
	ok := saga.NewSignal[bool]("ok")
	l := &log{}
	def := saga.Define("trip", 1, stop(l, "a"), saga.Pivot("pay", func(saga.Ctx, trip) (saga.None, error) { return saga.None{}, nil }),
		saga.Await(ok, func(*trip, bool) error { return saga.Reject("no") }).Within(time.Hour).
			OnDeadline(saga.Retriable("r", func(saga.Ctx, trip) (saga.None, error) { return saga.None{}, nil })))
	require.NoError(t, def.Err())
	e, _ := engine(t, saga.Config{}, sqliteStore(t), def)
	run, err := def.Start(within(t), e, "t1", trip{})
	require.NoError(t, err)
	require.NoError(t, ok.Send(within(t), e, "t1", false))
	_, err = run.Result(within(t))
	var parked *saga.ParkedError
	require.ErrorAs(t, err, &parked)
	require.Equal(t, []string{"do a"}, l.all())
}

// Every kind of saga is handed over to a node that joins.
func TestLanesOfEveryKindAreHandedOver(t *testing.T) {
	t.Parallel()
	s := sqliteStore(t)
	l := &log{}
	a, b := saga.Define("a", 1, stop(l, "x")), saga.Define("b", 1, stop(l, "x"))
	e1, _ := engine(t, saga.Config{Node: "one", TTL: time.Second}, s, a, b)
	eventually(t, "runs", e1.Running)
	engine(t, saga.Config{Node: "two", TTL: time.Second}, s, a, b)
	shares := func(kind string) (n int) {
		require.NoError(t, s.DB().QueryRow(t.Context(), `select count(*) from saga_lane where kind = $1 and node like 'two-%'`, kind).Scan(&n))
		return n
	}
	eventually(t, "each node has half of each kind", func() bool { return shares("a@1") == 8 && shares("b@1") == 8 })
}

func lanesOf(t *testing.T, s saga.Store, node string) (n int) {
	require.NoError(t, s.DB().QueryRow(t.Context(), `select count(*) from saga_lane where node like $1`, node+"-%").Scan(&n))
	return n
}

// A lane whose release failed still gets to the node that waits for it.
func TestFailedReleaseIsRepeated(t *testing.T) {
	t.Parallel()
	s := sqliteStore(t)
	flaky := &hooked{Store: s}
	releases := 0
	flaky.beforeRelease = func() error {
		if releases++; releases <= 2 {
			return errDown
		}
		return nil
	}
	def := saga.Define("trip", 1, step("a", nothing))
	one, _ := engine(t, saga.Config{Node: "one", TTL: time.Second}, flaky, def)
	eventually(t, "runs", one.Running)
	require.Equal(t, 16, lanesOf(t, s, "one"))
	engine(t, saga.Config{Node: "two", TTL: time.Second}, s, def)
	eventually(t, "two has its share", func() bool { return lanesOf(t, s, "two") == 8 })
}

// Lanes claimed by a transaction whose reply was lost are worked for all the same.
func TestClaimWithALostReply(t *testing.T) {
	t.Parallel()
	s := &hooked{Store: sqliteStore(t)}
	def := saga.Define("trip", 1, step("a", nothing))
	client, err := saga.New(saga.Config{}, s, def)
	require.NoError(t, err)
	run, err := def.Start(within(t), client, "t1", trip{})
	require.NoError(t, err)
	claims := 0
	s.afterClaim = func() error {
		if claims++; claims == 1 {
			return errLost
		}
		return nil
	}
	engine(t, saga.Config{TTL: time.Second}, s, def)
	_, err = run.Result(within(t))
	require.NoError(t, err)
}

// Sagas that a recovery missed because the database went away are found by the next one.
func TestFailedRecoveryIsRepeated(t *testing.T) {
	t.Parallel()
	s := &hooked{Store: sqliteStore(t)}
	def := saga.Define("trip", 1, step("a", nothing))
	client, err := saga.New(saga.Config{}, s, def)
	require.NoError(t, err)
	run, err := def.Start(within(t), client, "t1", trip{})
	require.NoError(t, err)
	_, err = s.DB().Exec(t.Context(), `delete from saga_mail`) // so that only recovery can find it
	require.NoError(t, err)
	recoveries, releases := 0, 0
	s.beforeRecoverable = func() error {
		if recoveries++; recoveries == 1 {
			return errDown
		}
		return nil
	}
	s.beforeRelease = func() error {
		if releases++; releases == 1 {
			return errDown
		}
		return nil
	}
	engine(t, saga.Config{TTL: time.Second}, s, def)
	_, err = run.Result(within(t))
	require.NoError(t, err)
}

// However long a recovery takes, the node keeps its lease.
func TestRecoveryDoesNotHoldUpBeats(t *testing.T) {
	t.Parallel()
	s := &hooked{Store: sqliteStore(t)}
	var beats atomic.Int32
	enough := make(chan struct{})
	s.beforeBeat = func() error {
		if beats.Add(1) == 8 {
			close(enough)
		}
		return nil
	}
	recoveries := 0
	s.beforeRecoverable = func() error {
		if recoveries++; recoveries == 1 {
			return errDown // so that it is done again while the node beats
		}
		return held(within(t), enough)
	}
	def := saga.Define("trip", 1, step("a", nothing))
	hooks := saga.Hooks{Fenced: func(context.Context, saga.NodeEvent) { t.Error("fenced") }}
	e, _ := engine(t, saga.Config{TTL: time.Second, Hooks: hooks}, s, def)
	eventually(t, "runs", e.Running)
	run, err := def.Start(within(t), e, "t1", trip{})
	require.NoError(t, err)
	_, err = run.Result(within(t))
	require.NoError(t, err)
}

// A signal whose fold panics is not lost: the saga parks and takes it when it is tried again.
func TestSignalSurvivesAPanickingFold(t *testing.T) {
	t.Parallel()
	ok := saga.NewSignal[bool]("ok")
	mended := false
	def := saga.Define("trip", 1, saga.Await(ok, func(*trip, bool) error {
		if !mended {
			panic("not yet")
		}
		return nil
	}).Within(time.Hour))
	e, _ := engine(t, saga.Config{}, sqliteStore(t), def)
	run, err := def.Start(within(t), e, "t1", trip{})
	require.NoError(t, err)
	require.NoError(t, ok.Send(within(t), e, "t1", true))
	_, err = run.Result(within(t))
	var parked *saga.ParkedError
	require.ErrorAs(t, err, &parked)
	mended = true
	require.NoError(t, e.Retry(within(t), "t1", "ann", "mended"))
	eventually(t, "completes", func() bool { return state(t, e, "t1") == "completed" })
}

// A step that waits for its turn when the engine stops does not begin.
func TestStoppingBeginsNoAttempts(t *testing.T) {
	t.Parallel()
	began, free := make(chan struct{}), make(chan struct{})
	var second atomic.Bool
	first := saga.Define("first", 1, step("a", func(c saga.Ctx) error { close(began); return held(c, free) }))
	other := saga.Define("second", 1, step("b", func(saga.Ctx) error { second.Store(true); return nil }))
	s := sqliteStore(t)
	e, end := engine(t, saga.Config{Concurrency: 1}, s, first, other)
	eventually(t, "runs", e.Running)
	_, err := first.Start(within(t), e, "t1", trip{})
	require.NoError(t, err)
	<-began
	_, err = other.Start(within(t), e, "t2", trip{})
	require.NoError(t, err)
	done := make(chan struct{})
	go func() { defer close(done); end() }()
	eventually(t, "stops", func() bool { // a stopping engine starts nothing itself: such a saga has the epoch of nobody
		id := saga.ID(fmt.Sprint("probe", rand.Uint64()))
		_, err := other.Start(t.Context(), e, id, trip{})
		require.NoError(t, err)
		var epoch int
		require.NoError(t, s.DB().QueryRow(t.Context(), `select epoch from saga_journal j join saga_key k on k.uid = j.uid where k.id = $1`, string(id)).Scan(&epoch))
		return epoch == 0
	})
	close(free)
	<-done
	require.False(t, second.Load(), "the second step began while the engine was stopping")
	require.Equal(t, saga.State(saga.Completed), state(t, e, "t1"), "the running step was given its time")
}

// A transactional step whose result cannot be folded leaves nothing, and the saga can be read and helped.
func TestTxStepWithAPanickingFoldParks(t *testing.T) {
	t.Parallel()
	s := sqliteStore(t)
	openSent(t, s)
	def := saga.Define("trip", 1, saga.TxStep("tx", func(c saga.Ctx, tx data.Tx, _ trip) (int64, error) {
		return tx.Exec(c, `insert into sent (k) values ('x')`)
	}).Into(func(*trip, int64) { panic("while folding") }))
	e, _ := engine(t, saga.Config{}, s, def)
	run, err := def.Start(within(t), e, "t1", trip{})
	require.NoError(t, err)
	_, err = run.Result(within(t))
	var parked *saga.ParkedError
	require.ErrorAs(t, err, &parked)
	require.Equal(t, "tx", parked.Step)
	require.Empty(t, sent(t, s))
}

// Whoever cancels a parked saga that can still go back gets it compensated; terminating stops what runs.
func TestCancelAndTerminateStuckSagas(t *testing.T) {
	t.Parallel()
	l := &log{}
	broken := saga.Retriable("broken", func(saga.Ctx, trip) (saga.None, error) { return saga.None{}, errors.New("broken") }).Retry(saga.Retry{Max: 1})
	began, stopped := make(chan struct{}), make(chan struct{})
	hang := step("hang", func(c saga.Ctx) error { close(began); <-c.Done(); close(stopped); return c.Err() })
	parks, hangs := saga.Define("parks", 1, stop(l, "a"), broken), saga.Define("hangs", 1, hang)
	e, _ := engine(t, saga.Config{}, sqliteStore(t), parks, hangs)
	run, err := parks.Start(within(t), e, "t1", trip{})
	require.NoError(t, err)
	out, err := run.Result(within(t))
	var parked *saga.ParkedError
	require.ErrorAs(t, err, &parked)
	require.Equal(t, []string{"a"}, out.Stops, "what the saga had come to")
	require.NoError(t, e.Cancel(within(t), "t1", "ann", "never mind"))
	eventually(t, "compensates", func() bool { return state(t, e, "t1") == "compensated" })
	require.Equal(t, []string{"do a", `undo a known=true result="a"`}, l.all())
	_, err = hangs.Start(within(t), e, "t2", trip{})
	require.NoError(t, err)
	<-began
	require.NoError(t, e.Terminate(within(t), "t2", "ann", "enough"))
	require.NoError(t, held(within(t), stopped))
}

// A reply that is no JSON parks its saga instead of being tried for ever.
func TestReplyThatIsNoJSON(t *testing.T) {
	t.Parallel()
	s := sqliteStore(t)
	openSent(t, s)
	far := saga.Remote("far", saga.RemoteSpec[trip, saga.None]{Send: func(c saga.Ctx, tx data.Tx, _ trip) error {
		_, err := tx.Exec(c, `insert into sent (k) values ($1)`, c.Key())
		return err
	}})
	def := saga.Define("trip", 1, far)
	e, _ := engine(t, saga.Config{}, s, def)
	run, err := def.Start(within(t), e, "t1", trip{})
	require.NoError(t, err)
	require.NoError(t, e.Reply(within(t), nil, saga.Reply{Key: waitSent(t, s, 1)[0], Result: json.RawMessage("<ok/>")}))
	_, err = run.Result(within(t))
	var parked *saga.ParkedError
	require.ErrorAs(t, err, &parked)
}

// A long step keeps the lane of its saga from a new node no longer than the grace.
func TestLongStepIsHandedOver(t *testing.T) {
	t.Parallel()
	s := sqliteStore(t)
	long := func(do func(saga.Ctx) error) *saga.Def[trip] {
		return saga.Define("trip", 1, step("long", do).Retry(saga.Retry{Max: 1}).Timeout(time.Hour))
	}
	hangs := long(func(c saga.Ctx) error { <-c.Done(); return context.Cause(c) })
	one, _ := engine(t, saga.Config{Node: "one", TTL: time.Second, Grace: 100 * time.Millisecond}, s, hangs)
	eventually(t, "runs", one.Running)
	const sagas = 32 // some of which are in lanes that the other node gets
	for i := range sagas {
		_, err := hangs.Start(within(t), one, saga.ID(fmt.Sprint("t", i)), trip{})
		require.NoError(t, err)
	}
	engine(t, saga.Config{Node: "two", TTL: time.Second}, s, long(nothing))
	live := func() int {
		refs, err := s.List(t.Context(), sagas)
		require.NoError(t, err)
		return len(refs)
	}
	eventually(t, "the other node carries them out", func() bool { return live() < sagas && lanesOf(t, s, "two") == 8 })
	for i := range sagas {
		require.Contains(t, []saga.State{saga.StateRunning, saga.State(saga.Completed)}, state(t, one, saga.ID(fmt.Sprint("t", i))))
	}
}

// An engine that starts before its database answers waits for it.
func TestRunWaitsForTheDatabase(t *testing.T) {
	t.Parallel()
	s := &hooked{Store: sqliteStore(t)}
	tries := 0
	s.beforeRegister = func() error {
		if tries++; tries < 3 {
			return errDown
		}
		return nil
	}
	def := saga.Define("trip", 1, step("a", nothing))
	e, _ := engine(t, saga.Config{TTL: time.Second}, s, def)
	eventually(t, "runs", e.Running)
}
