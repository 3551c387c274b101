package data_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
)

func TestKindsOfErrors(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	for kind := data.KindOther; kind <= data.KindUnknown; kind++ {
		err := fmt.Errorf("wrapped: %w", &data.Error{Kind: kind, Code: "c", Err: cause})
		require.Equal(t, kind, data.KindOf(err))
		require.ErrorIs(t, err, cause)
		require.Equal(t, kind == data.KindUnknown, errors.Is(err, data.ErrOutcomeUnknown))
		retryable := kind == data.KindConflict || kind == data.KindTimeout || kind == data.KindUnavailable
		require.Equal(t, retryable, data.Retryable(err), kind.String())
		require.NotContains(t, kind.String(), "kind(")
	}
	require.Equal(t, "kind(99)", data.Kind(99).String())
	require.Equal(t, data.KindUnknown, data.KindOf(fmt.Errorf("x: %w", data.ErrOutcomeUnknown)))
	require.Equal(t, data.KindOther, data.KindOf(cause))
	require.Equal(t, data.KindOther, data.KindOf(nil))
}

func TestEventsAreValidated(t *testing.T) {
	t.Parallel()
	good := data.Event{Topic: "t", Key: "k", Type: "x.v1", Subject: "ключ", Headers: map[string]string{"a": "b"}}
	require.NoError(t, good.Validate())
	for problem, change := range map[string]func(*data.Event){
		"Topic is empty":                         func(e *data.Event) { e.Topic = "" },
		"Key is empty":                           func(e *data.Event) { e.Key = "" },
		"Type is empty":                          func(e *data.Event) { e.Type = "" },
		"ID has 1025 bytes":                      func(e *data.Event) { e.ID = strings.Repeat("x", 1025) },
		"Source is not UTF-8":                    func(e *data.Event) { e.Source = "\xff" },
		"Subject contains control characters":    func(e *data.Event) { e.Subject = "a\nb" },
		"Key contains control characters":        func(e *data.Event) { e.Key = "a\x00" },
		`header "ce_type" is not allowed`:        func(e *data.Event) { e.Headers = map[string]string{"ce_type": "x"} },
		`header "" is not allowed`:               func(e *data.Event) { e.Headers = map[string]string{"": "x"} },
		`header "a" is not UTF-8 text`:           func(e *data.Event) { e.Headers = map[string]string{"a": "\xff"} },
		"event of type \"x.v1\": Key is empty\n": func(e *data.Event) { e.Key, e.ID = "", "\x01" },
	} {
		e := good
		change(&e)
		require.ErrorContains(t, e.Validate(), problem)
	}
}

func TestPayloadsAreEncoded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in          any
		body, ctype string
	}{
		{[]byte{1}, "\x01", data.ContentTypeBinary},
		{json.RawMessage(`{ }`), "{ }", data.ContentTypeJSON},
		{map[string]int{"a": 1}, `{"a":1}`, data.ContentTypeJSON},
		{nil, "null", data.ContentTypeJSON},
	} {
		body, ctype, err := data.Event{Data: c.in}.Payload()
		require.NoError(t, err)
		require.Equal(t, []string{c.body, c.ctype}, []string{string(body), ctype})
	}
	_, ctype, err := data.Event{Data: []byte("<a/>"), Headers: map[string]string{"content-type": "text/xml"}}.Payload()
	require.NoError(t, err)
	require.Equal(t, "text/xml", ctype)
	_, _, err = data.Event{Type: "x", Data: func() {}}.Payload()
	require.ErrorContains(t, err, "encode Data")
}

func TestIDsTravelInContexts(t *testing.T) {
	t.Parallel()
	require.Zero(t, data.IDsFrom(t.Context()))
	ids := data.IDs{Correlation: "c", Causation: "m"}
	require.Equal(t, ids, data.IDsFrom(data.WithIDs(t.Context(), ids)))
	require.True(t, data.ValidID("a-1"))
	require.False(t, data.ValidID("a\n1"))
}

type fakeDB struct {
	data.DB
	ping, close error
	closed      int
}

func (f *fakeDB) Ping(context.Context) error { return f.ping }

func (f *fakeDB) Close() error { f.closed++; time.Sleep(time.Millisecond); return f.close }

func TestSources(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	orders, billing := &fakeDB{}, &fakeDB{ping: boom, close: boom}
	s, err := data.NewSources(map[string]data.DB{"orders": orders, "billing": billing})
	require.NoError(t, err)
	require.Equal(t, []string{"billing", "orders"}, s.Names())
	db, err := s.DB("orders")
	require.NoError(t, err)
	require.Same(t, orders, db)
	_, err = s.DB("order")
	require.ErrorIs(t, err, data.ErrUnknownSource)
	require.ErrorContains(t, err, `"order": known are billing, orders`)
	require.NoError(t, s.Check(t.Context(), "orders"))
	require.ErrorIs(t, s.Check(t.Context(), "billing"), boom)
	require.ErrorContains(t, s.Check(t.Context(), "billing"), `"billing"`)
	require.ErrorIs(t, s.Check(t.Context(), "x"), data.ErrUnknownSource)
	for range 2 {
		err = s.Close()
		require.ErrorIs(t, err, boom)
		require.ErrorContains(t, err, `"billing"`)
	}
	require.Equal(t, [2]int{1, 1}, [2]int{orders.closed, billing.closed})
}

func TestSourcesListEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := data.NewSources(map[string]data.DB{"": &fakeDB{}, "a": nil})
	require.ErrorContains(t, err, "empty name")
	require.ErrorContains(t, err, `"a" is nil`)
	none, err := data.NewSources(nil)
	require.NoError(t, err)
	_, err = none.DB("a")
	require.ErrorContains(t, err, "none is configured")
}

func ExampleSources_DB() {
	sources, err := data.NewSources(map[string]data.DB{"orders": &fakeDB{}, "billing": &fakeDB{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = sources.DB("order")
	fmt.Println(err)
	// Output: data: unknown source "order": known are billing, orders
}

func ExampleKindOf() {
	err := fmt.Errorf("register: %w", &data.Error{Kind: data.KindUnique, Code: "23505", Err: errors.New("duplicate key")})
	if data.KindOf(err) == data.KindUnique {
		fmt.Println("taken")
	}
	// Output: taken
}
