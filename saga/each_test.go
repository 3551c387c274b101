package saga_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// parcel is an item; cargo is the state that has parcels.
type parcel struct {
	To    string
	Label string
	Stops []string
}

type cargo struct {
	Parcels []parcel
	Labels  []string
	Fail    string // the parcel that is refused
	Total   int
}

func parcels(to ...string) (out []parcel) {
	for _, x := range to {
		out = append(out, parcel{To: x})
	}
	return out
}

func label(l *log) *saga.StepNode[parcel, string] {
	return saga.Step("label", func(c saga.Ctx, p parcel) (string, error) {
		l.add("do %s %s", c.Step(), p.To)
		return "label for " + p.To, nil
	}).Undo(func(c saga.Ctx, p parcel, r string) error {
		l.add("undo %s %s known=%t result=%q", c.Step(), p.To, c.ResultKnown(), r)
		return nil
	}).Into(func(p *parcel, r string) { p.Label = r })
}

func refuse(l *log, to string) *saga.StepNode[parcel, saga.None] {
	return saga.Step("send", func(c saga.Ctx, p parcel) (saga.None, error) {
		if p.To == to {
			return saga.None{}, saga.Reject("nobody goes to %s", to)
		}
		l.add("do %s %s with %s", c.Step(), p.To, p.Label)
		return saga.None{}, nil
	}).Undo(func(c saga.Ctx, p parcel, _ saga.None) error {
		l.add("undo %s %s with %s", c.Step(), p.To, p.Label)
		return nil
	})
}

func sorted(lines []string) []string { return slices.Sorted(slices.Values(lines)) }

func TestEachFoldsItsItems(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		var asked atomic.Int32
		ship := saga.Each("ship", func(c cargo) []parcel { asked.Add(1); return c.Parcels }, label(l), refuse(l, "")).Limit(2).
			Into(func(c *cargo, items []parcel) {
				for _, p := range items {
					c.Labels = append(c.Labels, p.Label)
				}
			})
		count := saga.Step("count", func(_ saga.Ctx, c cargo) (int, error) { return len(c.Labels), nil }).
			Into(func(c *cargo, n int) { c.Total = n })
		def := saga.Define("cargo", 1, ship, count)
		require.NoError(t, def.Err())
		e, _ := engine(t, saga.Config{}, store(), def)
		run, err := def.Start(within(t), e, "some", cargo{Parcels: parcels("Ulm", "Bonn", "Trier")})
		require.NoError(t, err)
		out, err := run.Result(within(t))
		require.NoError(t, err)
		require.Equal(t, []string{"label for Ulm", "label for Bonn", "label for Trier"}, out.Labels)
		require.Equal(t, 3, out.Total)
		require.Equal(t, []string{
			"do ship[0]/label Ulm", "do ship[0]/send Ulm with label for Ulm", "do ship[1]/label Bonn", "do ship[1]/send Bonn with label for Bonn",
			"do ship[2]/label Trier", "do ship[2]/send Trier with label for Trier",
		}, sorted(l.all()))
		st, err := e.Status(within(t), "some")
		require.NoError(t, err)
		require.Len(t, st.Steps, 7)
		require.Equal(t, "ship[1]/send", st.Steps[3].Name)
		require.Equal(t, "ship[]/send", st.Steps[3].Of)
		require.InDelta(t, 1, st.Progress, 0)
		require.EqualValues(t, 1, asked.Load(), "the items are a record, not evaluated again by Status or Result")

		run, err = def.Start(within(t), e, "none", cargo{})
		require.NoError(t, err)
		out, err = run.Result(within(t))
		require.NoError(t, err)
		require.Zero(t, out.Total)
		history, err := e.History(within(t), "none")
		require.NoError(t, err)
		require.Equal(t, []saga.RecordKind{saga.Started, saga.Opened, saga.Done}, kinds(history))
	})
}

func kinds(history []saga.Record) (out []saga.RecordKind) {
	for _, r := range history {
		out = append(out, r.Kind)
	}
	return out
}

func TestEachIsCompensated(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		ship := saga.Each("ship", func(c cargo) []parcel { return c.Parcels }, label(l), refuse(l, "Trier")).Limit(1)
		def := saga.Define("cargo", 1, ship)
		e, _ := engine(t, saga.Config{}, store(), def)
		run, err := def.Start(within(t), e, "t1", cargo{Parcels: parcels("Ulm", "Bonn", "Trier", "Kiel")})
		require.NoError(t, err)
		_, err = run.Result(within(t))
		var ce *saga.CompensatedError
		require.ErrorAs(t, err, &ce)
		require.Equal(t, "ship[2]/send", ce.Step)
		require.Equal(t, []string{
			"do ship[0]/label Ulm", "do ship[0]/send Ulm with label for Ulm", "do ship[1]/label Bonn", "do ship[1]/send Bonn with label for Bonn",
			"do ship[2]/label Trier",
			`undo ship[2]/label Trier known=true result="label for Trier"`,
			"undo ship[1]/send Bonn with label for Bonn", `undo ship[1]/label Bonn known=true result="label for Bonn"`,
			"undo ship[0]/send Ulm with label for Ulm", `undo ship[0]/label Ulm known=true result="label for Ulm"`,
		}, l.all(), "an each of one at a time is taken back one at a time")
		st, err := e.Status(within(t), "t1")
		require.NoError(t, err)
		require.InDelta(t, 0, st.Progress, 0)
	})
}

// TestEachKeepsItsLimit holds items until as many run as may.
func TestEachKeepsItsLimit(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		const items, limit = 9, 3
		var running, most atomic.Int32
		full := make(chan struct{}, 2*items)
		busy := func(saga.Ctx, parcel) (saga.None, error) {
			n := running.Add(1)
			defer running.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			if n == limit {
				for range limit {
					full <- struct{}{}
				}
			}
			<-full // until limit of them have met
			return saga.None{}, nil
		}
		work := saga.Step("work", busy).Undo(func(c saga.Ctx, p parcel, _ saga.None) error { _, err := busy(c, p); return err })
		no := saga.Step("no", func(saga.Ctx, cargo) (saga.None, error) { return saga.None{}, saga.Reject("no") }).
			Undo(func(saga.Ctx, cargo, saga.None) error { return nil })
		def := saga.Define("cargo", 1, saga.Each("all", func(c cargo) []parcel { return c.Parcels }, work).Limit(limit), no)
		e, _ := engine(t, saga.Config{}, store(), def)
		run, err := def.Start(within(t), e, "t1", cargo{Parcels: make([]parcel, items)})
		require.NoError(t, err)
		_, err = run.Result(within(t))
		require.ErrorAs(t, err, new(*saga.CompensatedError))
		require.EqualValues(t, limit, most.Load(), "forward and back")
	})
}

func TestTooManyItemsPark(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		first := saga.Step("first", func(saga.Ctx, cargo) (saga.None, error) { l.add("do first"); return saga.None{}, nil }).
			Undo(func(saga.Ctx, cargo, saga.None) error { l.add("undo first"); return nil })
		def := saga.Define("cargo", 1, first, saga.Each("ship", func(c cargo) []parcel { return c.Parcels }, label(l)).Max(2))
		errs := make(chan error, 10)
		cfg := saga.Config{Hooks: saga.Hooks{Failed: func(_ context.Context, err error) { errs <- err }}}
		e, _ := engine(t, cfg, store(), def)
		run, err := def.Start(within(t), e, "t1", cargo{Parcels: parcels("a", "b", "c")})
		require.NoError(t, err)
		_, err = run.Result(within(t))
		var parked *saga.ParkedError
		require.ErrorAs(t, err, &parked)
		require.Equal(t, "ship", parked.Step)
		require.Contains(t, parked.Reason, "3 items, its maximum is 2")
		var many *saga.TooManyItemsError
		require.ErrorAs(t, <-errs, &many)
		require.Equal(t, saga.TooManyItemsError{Node: "ship", Items: 3, Max: 2}, *many)
		require.NoError(t, e.Cancel(within(t), "t1", "ann", "too many"))
		require.Eventually(t, func() bool {
			st, err := e.Status(t.Context(), "t1")
			return err == nil && st.State == saga.State(saga.Compensated)
		}, 10*time.Second, 5*time.Millisecond)
		require.Equal(t, []string{"do first", "undo first"}, l.all())
	})
}

// TestAnotherNodeGoesOnInTheMiddleOfAnEach stops an engine while some items are done, some are under way and some have not
// begun, in an each inside an each, with transactional steps, waits and plain ones.
func TestAnotherNodeGoesOnInTheMiddleOfAnEach(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		s := store()
		_, err := s.DB().Exec(t.Context(), `create table sent (what text primary key)`)
		require.NoError(t, err)
		hold := make(chan struct{})
		var once sync.Once
		reached := make(chan struct{})
		inner := saga.Each("stops", func(p parcel) []string { return []string{p.To + "-1", p.To + "-2"} },
			saga.TxStep("note", func(c saga.Ctx, tx data.Tx, stop string) (string, error) {
				_, err := tx.Exec(c, `insert into sent (what) values ($1)`, c.Key())
				return stop + " noted", err
			}).Into(func(stop *string, r string) { *stop = r }),
		).Into(func(p *parcel, stops []string) { p.Stops = stops })
		wait := saga.Step("wait", func(c saga.Ctx, p parcel) (saga.None, error) {
			if p.To == "c" {
				once.Do(func() { close(reached) })
				select {
				case <-hold:
				case <-c.Done():
					return saga.None{}, context.Cause(c)
				}
			}
			l.add("waited %s", p.To)
			return saga.None{}, nil
		}).Undo(func(saga.Ctx, parcel, saga.None) error { return errors.New("not asked for") })
		def := saga.Define("cargo", 1, saga.Each("ship", func(c cargo) []parcel { return c.Parcels }, inner, wait).Limit(1).
			Into(func(c *cargo, items []parcel) { c.Parcels = items }))
		e1, stop1 := engine(t, saga.Config{Node: "one", Grace: time.Millisecond}, s, def)
		_, err = def.Start(within(t), e1, "t1", cargo{Parcels: parcels("a", "b", "c", "d")})
		require.NoError(t, err)
		<-reached
		stop1()
		st, err := e1.Status(within(t), "t1")
		require.NoError(t, err)
		require.InDelta(t, (2+0.5)/4, st.Progress, 1e-9)
		close(hold)
		e2, _ := engine(t, saga.Config{Node: "two"}, s, def)
		run, err := def.Find(within(t), e2, "t1")
		require.NoError(t, err)
		out, err := run.Result(within(t))
		require.NoError(t, err)
		require.Equal(t, []string{"waited a", "waited b", "waited c", "waited d"}, l.all())
		for i, to := range []string{"a", "b", "c", "d"} {
			require.Equal(t, []string{to + "-1 noted", to + "-2 noted"}, out.Parcels[i].Stops)
		}
		var n int
		require.NoError(t, s.DB().QueryRow(t.Context(), `select count(*) from sent where what like '%/ship[%]/stops[%]/note/do'`).Scan(&n))
		require.Equal(t, 8, n)
	})
}

// TestSignalsReachItems: an await in an each takes one signal per item.
func TestSignalsReachItems(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		proof := saga.NewSignal[string]("proof")
		def := saga.Define("cargo", 1,
			saga.Sleep("nap", func(cargo) time.Duration { return 50 * time.Millisecond }),
			saga.Each("ship", func(c cargo) []parcel { return c.Parcels },
				saga.Await(proof, func(p *parcel, by string) error { p.Label = by; return nil }).Within(time.Hour)).
				Into(func(c *cargo, items []parcel) { c.Parcels = items }))
		var refused atomic.Int32
		e, _ := engine(t, saga.Config{Hooks: saga.Hooks{Refused: func(context.Context, saga.SagaEvent) { refused.Add(1) }}}, store(), def)
		run, err := def.Start(within(t), e, "t1", cargo{Parcels: parcels("a", "b")})
		require.NoError(t, err)
		require.NoError(t, proof.Send(within(t), e, "t1", "ann"), "before the each has items")
		require.NoError(t, proof.Send(within(t), e, "t1", "bob"))
		out, err := run.Result(within(t))
		require.NoError(t, err)
		require.ElementsMatch(t, []string{"ann", "bob"}, []string{out.Parcels[0].Label, out.Parcels[1].Label})
		require.Zero(t, refused.Load())
	})
}

// payment is the state of a child.
type payment struct {
	Cents int
	Ref   string
	Log   []string
}

func payDef(l *log, pivot bool) *saga.Def[payment] {
	charge := saga.Step("charge", func(c saga.Ctx, p payment) (string, error) {
		l.add("%s %d %s", c.Step(), p.Cents, c.Key()[strings.Index(c.Key(), "/"):])
		return fmt.Sprint("ref-", p.Cents), nil
	}).Undo(func(c saga.Ctx, p payment, r string) error {
		l.add("undo %s %d %s %s", c.Step(), p.Cents, p.Ref, r)
		return nil
	}).Into(func(p *payment, r string) { p.Ref = r; p.Log = append(p.Log, r) })
	if !pivot {
		return saga.Define("payment", 2, charge)
	}
	return saga.Define("payment", 2, charge, saga.Pivot("capture", func(saga.Ctx, payment) (saga.None, error) { return saga.None{}, nil }))
}

func TestChildRunsOverAPartOfTheState(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		pay := saga.Child("pay", payDef(l, false), func(c cargo) payment { return payment{Cents: c.Total} }).
			Into(func(c *cargo, p payment) { c.Labels = append(c.Labels, p.Ref) })
		last := saga.Step("last", func(_ saga.Ctx, c cargo) (saga.None, error) {
			l.add("last %s", c.Labels)
			if c.Fail != "" {
				return saga.None{}, saga.Reject("no")
			}
			return saga.None{}, nil
		}).Undo(func(saga.Ctx, cargo, saga.None) error { return nil })
		twice := saga.Child("tip", payDef(l, false), func(cargo) payment { return payment{Cents: 1} })
		def := saga.Define("cargo", 1, pay, twice, last)
		require.NoError(t, def.Err())
		e, _ := engine(t, saga.Config{}, store(), def)
		run, err := def.Start(within(t), e, "good", cargo{Total: 7})
		require.NoError(t, err)
		out, err := run.Result(within(t))
		require.NoError(t, err)
		require.Equal(t, []string{"ref-7"}, out.Labels)
		require.Equal(t, []string{"pay/charge 7 /pay/charge/do", "tip/charge 1 /tip/charge/do", "last [ref-7]"}, l.all())

		run, err = def.Start(within(t), e, "bad", cargo{Total: 8, Fail: "yes"})
		require.NoError(t, err)
		_, err = run.Result(within(t))
		require.ErrorAs(t, err, new(*saga.CompensatedError))
		require.Equal(t, []string{"undo tip/charge 1 ref-1 ref-1", "undo pay/charge 8 ref-8 ref-8"}, l.all()[6:])
	})
}

// TestPivotInAChild: the child's pivot is the saga's.
func TestPivotInAChild(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		hand := saga.Retriable("hand", func(saga.Ctx, cargo) (saga.None, error) { return saga.None{}, errors.New("broken") }).Retry(quick)
		def := saga.Define("cargo", 1, saga.Child("pay", payDef(l, true), func(cargo) payment { return payment{} }), hand)
		require.NoError(t, def.Err())
		e, _ := engine(t, saga.Config{}, store(), def)
		run, err := def.Start(within(t), e, "t1", cargo{})
		require.NoError(t, err)
		_, err = run.Result(within(t))
		require.ErrorAs(t, err, new(*saga.ParkedError))
		require.ErrorIs(t, e.Cancel(within(t), "t1", "ann", "no"), saga.ErrPastPivot)
	})
}

// TestTxPivotThatFailsIsTakenBack: what rolled back has not happened, so the saga need not park.
func TestTxPivotThatFailsIsTakenBack(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		def := saga.Define("trip", 1, stop(l, "a"),
			saga.TxPivot("confirm", func(_ saga.Ctx, _ data.Tx, s trip) (saga.None, error) {
				if s.Fail != "" {
					return saga.None{}, errors.New("disk full")
				}
				return saga.None{}, nil
			}).Retry(quick),
			saga.TxRetriable("after", func(_ saga.Ctx, _ data.Tx, s trip) (saga.None, error) {
				return saga.None{}, errors.New("broken")
			}).Retry(quick))
		require.NoError(t, def.Err())
		e, _ := engine(t, saga.Config{}, store(), def)
		run, err := def.Start(within(t), e, "fails", trip{Fail: "yes"})
		require.NoError(t, err)
		_, err = run.Result(within(t))
		require.ErrorAs(t, err, new(*saga.CompensatedError))
		require.ErrorContains(t, err, "disk full")
		require.Equal(t, []string{"do a", `undo a known=true result="a"`}, l.all())
		run, err = def.Start(within(t), e, "passes", trip{})
		require.NoError(t, err)
		_, err = run.Result(within(t))
		require.ErrorAs(t, err, new(*saga.ParkedError))
		require.ErrorIs(t, e.Cancel(within(t), "passes", "ann", "no"), saga.ErrPastPivot)
	})
}

// TestCommitThatFailsLeavesNoTrace: the record of a transactional step was folded in when its commit failed.
func TestCommitThatFailsLeavesNoTrace(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		s := store()
		for _, ddl := range []string{
			`create table town (name text primary key)`,
			`create table visit (name text references town (name) deferrable initially deferred)`,
			`insert into town (name) values ('Ulm'), ('Bonn')`,
		} {
			_, err := s.DB().Exec(t.Context(), ddl)
			require.NoError(t, err)
		}
		var seen atomic.Value
		first := saga.Step("first", func(saga.Ctx, cargo) (saga.None, error) { return saga.None{}, nil }).
			Undo(func(_ saga.Ctx, c cargo, _ saga.None) error { seen.Store(c); return nil })
		visit := saga.TxStep("visit", func(c saga.Ctx, tx data.Tx, p parcel) (string, error) {
			to := p.To
			if c.Attempt() == 1 {
				to = "nowhere" // which the commit finds out
			}
			_, err := tx.Exec(c, `insert into visit (name) values ($1)`, to)
			return "visited", err
		}).Into(func(p *parcel, r string) { p.Label += r }).Retry(quick)
		total := saga.TxStep("total", func(c saga.Ctx, tx data.Tx, o cargo) (int, error) {
			if o.Fail != "" {
				_, err := tx.Exec(c, `insert into visit (name) values ($1)`, o.Fail)
				return 1, err
			}
			return len(o.Labels), nil
		}).Into(func(c *cargo, n int) { c.Total += n }).Retry(saga.Retry{Max: 1})
		def := saga.Define("cargo", 1, first, saga.Each("ship", func(c cargo) []parcel { return c.Parcels }, visit).
			Into(func(c *cargo, items []parcel) {
				for _, p := range items {
					c.Labels = append(c.Labels, p.Label)
				}
			}), total)
		e, _ := engine(t, saga.Config{}, s, def)
		run, err := def.Start(within(t), e, "good", cargo{Parcels: parcels("Ulm", "Bonn")})
		require.NoError(t, err)
		out, err := run.Result(within(t))
		require.NoError(t, err)
		require.Equal(t, []string{"visited", "visited"}, out.Labels)
		require.Equal(t, 2, out.Total)
		var n int
		require.NoError(t, s.DB().QueryRow(t.Context(), `select count(*) from visit`).Scan(&n))
		require.Equal(t, 2, n)

		run, err = def.Start(within(t), e, "bad", cargo{Fail: "nowhere"})
		require.NoError(t, err)
		_, err = run.Result(within(t))
		require.ErrorAs(t, err, new(*saga.CompensatedError))
		require.Zero(t, seen.Load().(cargo).Total, "what an undo sees has nothing of a step that rolled back")
	})
}
