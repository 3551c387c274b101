package outbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/outbox"
	"github.com/marty-framework/mmf/internal/correlation"
	"github.com/marty-framework/mmf/internal/uuidv7"
)

func TestConfigListsEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := outbox.New(outbox.Config{MaxBytes: -1})
	require.ErrorContains(t, err, "Source")
	require.ErrorContains(t, err, "MaxBytes")
	_, err = outbox.NewRelay(outbox.RelayConfig{Batch: -1, Poll: -1, Lease: 1, PublishTimeout: -1, RetryMin: -1}, nil, nil, nil)
	for _, field := range []string{"Batch", "Poll", "Lease", "PublishTimeout", "RetryMin"} {
		require.ErrorContains(t, err, field)
	}
	_, err = outbox.NewRelay(outbox.RelayConfig{}, nil, nil, nil)
	require.ErrorContains(t, err, "NewRelay needs")
}

func TestOnlyCommittedEventsArePublished(t *testing.T) {
	engines(t, func(t *testing.T, db data.DB) {
		box, b := newBox(t), &broker{}
		relay := newRelay(t, outbox.RelayConfig{}, box, db, b)
		boom := errors.New("boom")
		require.ErrorIs(t, db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
			require.NoError(t, box.Write(ctx, tx, event("a", 1)))
			return boom
		}), boom)
		write(t, box, db, event("a", 2))
		drain(t, relay)
		require.Equal(t, []string{"a-2"}, b.ids())
		drain(t, relay)
		require.Equal(t, []string{"a-2"}, b.ids(), "what is marked is not sent again")
	})
}

func TestEventsArriveWhole(t *testing.T) {
	engines(t, func(t *testing.T, db data.DB) {
		box, err := outbox.New(outbox.Config{
			Source: "shop",
			Inject: func(_ context.Context, h map[string]string) {
				h["traceparent"], h["own"] = "00-trace", "overwritten"
			},
		})
		require.NoError(t, err)
		b := &broker{}
		at := time.Date(2026, 2, 3, 4, 5, 6, 789000, time.UTC)
		full := data.Event{
			ID: "id-1", Topic: "t", Key: "ключ", Type: "x.v1", Source: "other", Subject: "s", Time: at, Data: json.RawMessage(`{"a":1}`),
			Headers: map[string]string{"own": "kept"},
		}
		ctx := correlation.With(t.Context(), correlation.IDs{Correlation: "c-1", Causation: "m-1"})
		before := time.Now().Add(-time.Second)
		require.NoError(t, db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
			return box.Write(ctx, tx, full,
				data.Event{Topic: "t", Key: "k", Type: "x.v1", Data: []byte{0, 255}},
				data.Event{Topic: "t", Key: "k", Type: "x.v1", Data: []byte("<a/>"), Headers: map[string]string{"content-type": "text/xml"}},
				data.Event{Topic: "t", Key: "k", Type: "x.v1"},
			)
		}))
		drain(t, newRelay(t, outbox.RelayConfig{}, box, db, b))
		require.Len(t, b.log, 4)
		full.Headers = map[string]string{"own": "kept", "traceparent": "00-trace", "correlation-id": "c-1", "causation-id": "m-1"}
		require.Equal(t, outbox.Record{Event: full, Attempt: 1}, b.log[0])
		filled := b.log[1]
		_, err = uuidv7.Parse(filled.ID)
		require.NoError(t, err)
		require.Equal(t, "shop", filled.Source)
		require.True(t, filled.Time.After(before) && filled.Time.Before(time.Now().Add(time.Second)))
		require.Equal(t, []byte{0, 255}, filled.Data)
		require.Equal(t, []byte("<a/>"), b.log[2].Data)
		require.Equal(t, "text/xml", b.log[2].Headers["content-type"])
		require.JSONEq(t, "null", string(b.log[3].Data.(json.RawMessage)))
	})
}

func TestARepeatedIDIsWrittenOnce(t *testing.T) {
	engines(t, func(t *testing.T, db data.DB) {
		box, b := newBox(t), &broker{}
		write(t, box, db, event("a", 1))
		write(t, box, db, event("a", 1), event("a", 2))
		drain(t, newRelay(t, outbox.RelayConfig{}, box, db, b))
		require.Equal(t, []string{"a-1", "a-2"}, b.ids())
	})
}

func TestInvalidEventsAreRefusedBeforeAnythingIsWritten(t *testing.T) {
	engines(t, func(t *testing.T, db data.DB) {
		box, err := outbox.New(outbox.Config{Source: "s", MaxBytes: 10})
		require.NoError(t, err)
		good := event("a", 1)
		with := func(change func(*data.Event)) data.Event {
			e := good
			change(&e)
			return e
		}
		require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
			for _, bad := range []data.Event{
				with(func(e *data.Event) { e.Topic = "" }),
				with(func(e *data.Event) { e.Key = "" }),
				with(func(e *data.Event) { e.Type = "a\nb" }),
				with(func(e *data.Event) { e.ID = strings.Repeat("x", 2000) }),
				with(func(e *data.Event) { e.Data = func() {} }),
				with(func(e *data.Event) { e.Headers = map[string]string{"ce_id": "1"} }),
			} {
				require.Error(t, box.Write(ctx, tx, good, bad))
			}
			var large *outbox.TooLargeError
			require.ErrorAs(t, box.Write(ctx, tx, good, with(func(e *data.Event) { e.Data = "0123456789" })), &large)
			require.Equal(t, outbox.TooLargeError{Type: good.Type, Key: "a", Bytes: 12, Max: 10}, *large)
			return nil
		}))
		stats, err := box.Stats(t.Context(), db)
		require.NoError(t, err)
		require.Zero(t, stats)
	})
}

func TestAParkedEventHoldsItsKeyUntilItIsResolved(t *testing.T) {
	engines(t, func(t *testing.T, db data.DB) {
		box := newBox(t)
		tooLarge := true
		b := &broker{refuse: func(r outbox.Record) error {
			if tooLarge && (r.ID == "a-2" || r.ID == "b-1") {
				return errors.Join(errors.New("2 MB are too much"), outbox.ErrPermanent)
			}
			return nil
		}}
		parkedBy := 0
		relay := newRelay(t, outbox.RelayConfig{Hooks: outbox.Hooks{Failed: func(_ context.Context, _ data.Event, _ int, parked bool, err error) {
			require.True(t, parked)
			require.ErrorIs(t, err, outbox.ErrPermanent)
			parkedBy++
		}}}, box, db, b)
		write(t, box, db, event("a", 1), event("a", 2), event("a", 3), event("b", 1), event("b", 2), event("c", 1))
		drain(t, relay)
		write(t, box, db, event("a", 4), event("c", 2))
		drain(t, relay)
		require.Equal(t, map[string][]int{"a": {1}, "c": {1, 2}}, b.firsts(t))
		require.Equal(t, 2, parkedBy)
		stats, err := box.Stats(t.Context(), db)
		require.NoError(t, err)
		require.Equal(t, []int64{3, 2}, []int64{stats.Pending, stats.Parked})
		require.Positive(t, stats.Oldest)
		list, err := box.Parked(t.Context(), db, 10)
		require.NoError(t, err)
		require.Len(t, list, 2)
		require.Equal(t, "a-2", list[0].ID)
		require.Contains(t, list[0].Reason, "too much")
		require.Equal(t, 1, list[0].Attempts)

		require.ErrorIs(t, box.Release(t.Context(), db, "a-3"), outbox.ErrNotParked)
		require.NoError(t, box.Discard(t.Context(), db, "b-1"))
		tooLarge = false
		require.NoError(t, box.Release(t.Context(), db, "a-2"))
		drain(t, relay)
		require.Equal(t, map[string][]int{"a": {1, 2, 3, 4}, "b": {2}, "c": {1, 2}}, b.firsts(t))
	})
}

func TestStatsOfAnEmptyOutbox(t *testing.T) {
	engines(t, func(t *testing.T, db data.DB) {
		stats, err := newBox(t).Stats(t.Context(), db)
		require.NoError(t, err)
		require.Zero(t, stats)
	})
}
