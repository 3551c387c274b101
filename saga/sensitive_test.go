package saga_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagacodec"
)

const canary = "4111-1111-1111-1111"

// cardPayment is a state whose input and results must not be read in the database.
type cardPayment struct {
	Card, Token, Note, Pin string
	Long                   string
}

var pin = saga.NewSignal[string]("pin").Sensitive()

func pay(fail error) *saga.Def[cardPayment] {
	return saga.Define("pay", 1,
		saga.Step("tokenise", func(_ saga.Ctx, p cardPayment) (string, error) { return "token of " + p.Card, nil }).Sensitive().
			Into(func(p *cardPayment, t string) { p.Token = t }).Undo(func(saga.Ctx, cardPayment, string) error { return nil }),
		saga.TxStep("store", func(_ saga.Ctx, _ data.Tx, p cardPayment) (string, error) { return "stored " + p.Card, nil }).Sensitive().
			Undo(func(saga.Ctx, data.Tx, cardPayment, string) error { return nil }),
		saga.Await(pin, func(p *cardPayment, v string) error {
			p.Pin = v
			if v == "bad "+canary {
				return fmt.Errorf("the pin %s is wrong", v)
			}
			return nil
		}).Within(time.Hour),
		saga.Step("note", func(_ saga.Ctx, p cardPayment) (string, error) {
			return "plain note", fail
		}).Into(func(p *cardPayment, n string) { p.Note = n }).Retry(saga.Retry{Max: 1}).Sensitive(),
	).Sensitive()
}

func keys(t *testing.T, ids ...string) *sagacodec.Ring {
	t.Helper()
	cfg := sagacodec.Config{Current: ids[0], Keys: map[string][]byte{}}
	for _, id := range ids {
		cfg.Keys[id] = bytes.Repeat([]byte(id[:1]), sagacodec.KeySize)
	}
	r, err := sagacodec.New(cfg)
	require.NoError(t, err)
	return r
}

// stored is everything that stands in the tables of the journal and of the mail.
func stored(t *testing.T, s saga.Store) string {
	t.Helper()
	var all strings.Builder
	for _, q := range []string{`select body from saga_journal`, `select payload || reason from saga_mail`, `select input_hash from saga_key`} {
		rows, err := s.DB().Query(t.Context(), q)
		require.NoError(t, err)
		for rows.Next() {
			var text string
			require.NoError(t, rows.Scan(&text))
			all.WriteString(text + "\n")
		}
		require.NoError(t, rows.Err())
		rows.Close()
	}
	return all.String()
}

// No sensitive payload is readable in the database, in the history, in a reason or in a log line; the saga works with it all the
// same, and so does another process after a rotation of the keys. S-SEC-1, S-LOG-2.
func TestSensitivePayloads(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		var mu sync.Mutex
		var lines strings.Builder
		logs := saga.LogHooks(slog.New(slog.NewTextHandler(locked{&mu, &lines}, &slog.HandlerOptions{Level: slog.LevelDebug})))
		s, def := store(), pay(nil)
		e, end := engine(t, saga.Config{Codec: keys(t, "old"), Hooks: logs}, s, def)
		eventually(t, "runs", e.Running)
		run, err := def.Start(within(t), e, "p1", cardPayment{Card: canary})
		require.NoError(t, err)
		_, err = def.Start(within(t), e, "p1", cardPayment{Card: canary})
		require.NoError(t, err, "the same input is the same saga")
		_, err = def.Start(within(t), e, "p1", cardPayment{Card: "other"})
		require.ErrorIs(t, err, saga.ErrConflict)
		eventually(t, "waits", func() bool { return stepStatus(t, e, "p1", 2) == "waiting" })
		end()
		require.NotContains(t, stored(t, s), canary)

		client, err := saga.New(saga.Config{Codec: keys(t, "new", "old")}, s, def)
		require.NoError(t, err)
		require.NoError(t, pin.Send(within(t), client, "p1", "pin "+canary))
		require.NotContains(t, stored(t, s), canary)
		e, end = engine(t, saga.Config{Codec: keys(t, "new", "old"), Hooks: logs}, s, def)
		run, err = def.Find(within(t), e, run.ID())
		require.NoError(t, err)
		out, err := run.Result(within(t))
		require.NoError(t, err)
		require.Equal(t, cardPayment{Card: canary, Token: "token of " + canary, Pin: "pin " + canary, Note: "plain note"}, out)

		history, err := e.History(within(t), "p1")
		require.NoError(t, err)
		shown, err := json.Marshal(history)
		require.NoError(t, err)
		require.NotContains(t, string(shown), canary)
		require.JSONEq(t, `"[sensitive]"`, string(history[0].Payload))
		dossier, err := e.Show(within(t), "p1")
		require.NoError(t, err)
		require.Equal(t, "completed", string(dossier.Status.State))
		shown, err = json.Marshal(dossier)
		require.NoError(t, err)
		require.NotContains(t, string(shown), canary)
		history, err = e.Reveal(within(t), "p1")
		require.NoError(t, err)
		require.Contains(t, string(history[0].Payload), canary)
		end()
		require.NotContains(t, stored(t, s), canary)
		mu.Lock()
		defer mu.Unlock()
		require.NotContains(t, lines.String(), canary)
	})
}

type locked struct {
	mu *sync.Mutex
	w  *strings.Builder
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func stepStatus(t *testing.T, e *saga.Engine, id saga.ID, step int) string {
	t.Helper()
	st, err := e.Status(t.Context(), id)
	if err != nil {
		return err.Error()
	}
	return st.Steps[step].Status
}

// What a sensitive step fails with may quote what it works with, so nobody reads it.
func TestErrorsOfSensitiveStepsAreWithheld(t *testing.T) {
	t.Parallel()
	cause := errors.New("the bank says: " + canary)
	for name, send := range map[string]string{"a step": "ok", "a signal": "bad " + canary} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var lines strings.Builder
			var seen error
			hooks := saga.JoinHooks(
				saga.LogHooks(slog.New(slog.NewTextHandler(locked{&mu, &lines}, &slog.HandlerOptions{Level: slog.LevelDebug}))),
				saga.Hooks{Attempted: func(_ context.Context, e saga.AttemptEvent) {
					if e.Err != nil {
						mu.Lock()
						defer mu.Unlock()
						seen = e.Err
					}
				}})
			s, def := sqliteStore(t), pay(cause)
			e, end := engine(t, saga.Config{Codec: keys(t, "k"), Hooks: hooks}, s, def)
			run, err := def.Start(within(t), e, "p1", cardPayment{Card: canary})
			require.NoError(t, err)
			require.NoError(t, pin.Send(within(t), e, "p1", send))
			_, err = run.Result(within(t))
			require.ErrorAs(t, err, new(*saga.CompensatedError))
			require.NotContains(t, err.Error(), canary)
			require.ErrorContains(t, err, "withheld")
			end()
			require.NotContains(t, stored(t, s), canary)
			mu.Lock()
			defer mu.Unlock()
			require.NotContains(t, lines.String(), canary)
			if send == "ok" {
				require.ErrorIs(t, seen, cause, "code may still ask what it was")
			}
		})
	}
}

// A key that is gone stops the sagas written under it and no other, says which it is, and is no loss once it is back.
func TestRemovedKey(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		s, def := store(), pay(nil)
		e, end := engine(t, saga.Config{Codec: keys(t, "old")}, s, def)
		_, err := def.Start(within(t), e, "p1", cardPayment{Card: canary})
		require.NoError(t, err)
		eventually(t, "waits", func() bool { return stepStatus(t, e, "p1", 2) == "waiting" })
		end()

		client, err := saga.New(saga.Config{Codec: keys(t, "old")}, s, def)
		require.NoError(t, err)
		ring := keys(t, "new")
		e, _ = engine(t, saga.Config{Codec: ring}, s, def)
		_, err = e.Status(within(t), "p1")
		require.ErrorIs(t, err, saga.ErrUnreadable)
		var gone *sagacodec.UnknownKeyError
		require.ErrorAs(t, err, &gone)
		require.Equal(t, "old", gone.ID)
		list, err := e.List(within(t), 10)
		require.NoError(t, err)
		require.Equal(t, saga.StateUnreadable, list[0].State)
		_, err = e.History(within(t), "p1")
		require.NoError(t, err, "what is not shown needs no key")
		_, err = e.Reveal(within(t), "p1")
		require.ErrorAs(t, err, &gone)

		other, err := def.Start(within(t), e, "p2", cardPayment{Card: "x"})
		require.NoError(t, err)
		require.NoError(t, pin.Send(within(t), client, "p1", "written under the old key"))
		require.NoError(t, pin.Send(within(t), e, "p2", "y"))
		_, err = other.Result(within(t))
		require.NoError(t, err, "others go on")

		require.NoError(t, ring.Replace(sagacodec.Config{Current: "new", Keys: map[string][]byte{
			"new": bytes.Repeat([]byte("n"), sagacodec.KeySize), "old": bytes.Repeat([]byte("o"), sagacodec.KeySize),
		}}))
		run, err := def.Find(within(t), e, "p1")
		require.NoError(t, err)
		out, err := run.Result(within(t))
		require.NoError(t, err)
		require.Equal(t, "written under the old key", out.Pin)
	})
}

func TestSensitiveNeedsACodec(t *testing.T) {
	t.Parallel()
	_, err := saga.New(saga.Config{}, sqliteStore(t), pay(nil))
	require.ErrorContains(t, err, "Config.Codec")
}

// Long payloads take little room and come back as they were; short ones stand in the journal as they are.
func TestLongPayloadsAreCompressed(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		long := strings.Repeat("the same again, ", 5000)
		sig := saga.NewSignal[string]("long")
		def := saga.Define("long", 1,
			saga.Step("double", func(_ saga.Ctx, p cardPayment) (string, error) { return p.Long + p.Long, nil }).
				Into(func(p *cardPayment, s string) { p.Note = s }),
			saga.Await(sig, func(p *cardPayment, s string) error { p.Pin = s; return nil }).Within(time.Hour),
			saga.TxStep("short", func(saga.Ctx, data.Tx, cardPayment) (string, error) { return "short result", nil }),
		)
		s := store()
		e, end := engine(t, saga.Config{}, s, def)
		run, err := def.Start(within(t), e, "l1", cardPayment{Long: long})
		require.NoError(t, err)
		require.NoError(t, sig.Send(within(t), e, "l1", long))
		out, err := run.Result(within(t))
		require.NoError(t, err)
		require.Equal(t, cardPayment{Long: long, Note: long + long, Pin: long}, out)
		_, err = def.Start(within(t), e, "l1", cardPayment{Long: long})
		require.NoError(t, err)
		end()
		text := stored(t, s)
		require.Less(t, len(text), len(long)/10)
		require.Contains(t, text, `"p":"short result"`)
		history, err := e.History(within(t), "l1")
		require.NoError(t, err)
		require.Contains(t, string(history[0].Payload), long, "nothing here is sensitive")
	})
}

// Ten megabytes are refused by name, wherever they come from.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("x", 10<<20)
	sig := saga.NewSignal[string]("huge")
	def := saga.Define("huge", 1,
		saga.Step("grow", func(_ saga.Ctx, p cardPayment) (string, error) { return huge, nil }).Retry(saga.Retry{Max: 3, First: time.Hour, Cap: time.Hour}))
	e, _ := engine(t, saga.Config{}, sqliteStore(t), def)
	_, err := def.Start(within(t), e, "h1", cardPayment{Long: huge})
	require.ErrorIs(t, err, saga.ErrTooLarge)
	run, err := def.Start(within(t), e, "h2", cardPayment{})
	require.NoError(t, err)
	require.ErrorIs(t, sig.Send(within(t), e, "h2", huge), saga.ErrTooLarge)
	_, err = run.Result(within(t))
	require.ErrorContains(t, err, "payload too large")
}

// A reply for an item of an each is as sensitive in the mailbox as the step that it answers.
func TestSensitiveReplyOfAnItem(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		s := store()
		openSent(t, s)
		def := saga.Define("trips", 1, saga.Each("all", func(t []trip) []trip { return t }, remoteStep("far", time.Minute).Sensitive()))
		e, leave := engine(t, saga.Config{Codec: keys(t, "a")}, s, def)
		_, err := def.Start(within(t), e, "t1", []trip{{}})
		require.NoError(t, err)
		key := waitSent(t, s, 1)[0]
		leave()
		require.NoError(t, e.Reply(within(t), nil, saga.Reply{Key: key, Result: json.RawMessage(`"` + canary + `"`)}))
		var payload string
		require.NoError(t, s.DB().QueryRow(t.Context(), `select payload from saga_mail where kind = 'reply'`).Scan(&payload))
		require.NotContains(t, payload, canary)
	})
}
