package service_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/service"
)

type item struct {
	Pet      string `json:"pet"`
	Quantity int8   `json:"quantity"`
}

type createOrder struct {
	Key   string `header:"Idempotency-Key" json:"-"`
	Items []item `json:"items"`
	Gift  bool   `json:"gift"`
	Note  *struct {
		Text string `json:"text"`
	} `json:"note"`
	Weight float64        `json:"weight"`
	Extra  map[string]any `json:"extra"`
}

func (o *createOrder) Validate() error {
	if len(o.Items) == 0 {
		return service.Invalid("items", "must not be empty")
	}
	if o.Gift && o.Note == nil {
		return errors.New("A gift needs a note.")
	}
	return nil
}

func orders(t *testing.T) fixture {
	t.Helper()
	f := newFixture(t, service.Config{}, service.Deps{})
	require.NoError(t, f.Handle(service.Route{
		Pattern: "POST /orders", Operation: "create-order", Policy: security.Public(), MaxBody: 1 << 10,
		Handler: service.JSON(func(_ context.Context, in createOrder) (service.Response[map[string]any], error) {
			return service.Response[map[string]any]{
				Status: http.StatusAccepted, Header: http.Header{"location": {"/orders/1"}},
				Body: map[string]any{"key": in.Key, "items": in.Items},
			}, nil
		}),
	}))
	return f
}

func TestBodiesAreDecodedStrictly(t *testing.T) {
	t.Parallel()
	f := orders(t)
	const ok = `{"items":[{"pet":"7","quantity":2}]}`
	cases := []struct {
		name, contentType, body string
		status                  int
		field, message          string
	}{
		{"good", "application/json", ok, 202, "", ""},
		{"charset", "application/json; charset=UTF-8", ok, 202, "", ""},
		{"suffix", "application/merge-patch+json", ok, 202, "", ""},
		{"space around", "application/json", "\n " + ok + "\n", 202, "", ""},
		{"no content type", "", ok, 415, "", ""},
		{"form", "application/x-www-form-urlencoded", "a=b", 415, "", ""},
		{"other charset", "application/json; charset=latin1", ok, 415, "", ""},
		{"broken content type", "application/json;;", ok, 415, "", ""},
		{"empty", "application/json", "", 400, "", ""},
		{"blank", "application/json", " \n", 400, "", ""},
		{"null", "application/json", "null", 400, "", ""},
		{"array", "application/json", "[]", 400, "(body)", "must be an object, is array"},
		{"unknown member", "application/json", `{"items":[],"status":"paid"}`, 400, "status", "is not known"},
		{"unknown member inside", "application/json", `{"items":[{"pet":"7","price":0}]}`, 400, "price", "is not known"},
		{"bound member", "application/json", `{"Key":"stolen","items":[]}`, 400, "Key", "is not known"},
		{"wrong type", "application/json", `{"gift":"yes"}`, 400, "gift", "must be true or false, is string"},
		{"wrong type inside", "application/json", `{"items":[{"pet":7}]}`, 400, "items.pet", "must be a string, is number"},
		{"overflow", "application/json", `{"items":[{"quantity":300}]}`, 400, "items.quantity", "must be a whole number of 8 bits, is number"},
		{"fraction", "application/json", `{"items":[{"quantity":1.5}]}`, 400, "items.quantity", "must be a whole number of 8 bits, is number"},
		{"object wanted", "application/json", `{"note":"hi"}`, 400, "note", "must be an object, is string"},
		{"array wanted", "application/json", `{"items":{}}`, 400, "items", "must be an array, is object"},
		{"number wanted", "application/json", `{"weight":"1"}`, 400, "weight", "must be a number, is string"},
		{"repeated", "application/json", `{"gift":false,"gift":true}`, 400, "gift", "is given more than once"},
		{"repeated, other case", "application/json", `{"gift":false,"GIFT":true}`, 400, "GIFT", "is given more than once"},
		{"repeated inside", "application/json", `{"items":[{"pet":"1","pet":"2"}]}`, 400, "pet", "is given more than once"},
		{"repeated empty name", "application/json", `{"extra":{"":1,"":2}}`, 400, "", "is given more than once"},
		{"same name in two objects", "application/json", `{"items":[{"pet":"1"},{"pet":"2"}]}`, 202, "", ""},
		{"data behind", "application/json", ok + "{}", 400, "", ""},
		{"garbage behind", "application/json", ok + "x", 400, "", ""},
		{"cut short", "application/json", ok[:len(ok)-2], 400, "", ""},
		{"syntax", "application/json", `{"items":[,]}`, 400, "", ""},
		{"single quotes", "application/json", `{'items':[]}`, 400, "", ""},
		{"not UTF-8", "application/json", "{\"extra\":{\"a\":\"\xff\"}}", 400, "", ""},
		{"deep", "application/json", `{"extra":{"a":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}}`, 400, "", ""},
		{"too large", "application/json", `{"extra":{"a":"` + strings.Repeat("x", 2000) + `"}}`, 413, "", ""},
		{"not valid", "application/json", `{"items":[]}`, 422, "items", "must not be empty"},
		{"not valid, own error", "application/json", `{"items":[{}],"gift":true}`, 422, "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			headers := []string{"Idempotency-Key", "k1"}
			if c.contentType != "" {
				headers = append(headers, "Content-Type", c.contentType)
			}
			w := f.do(t, http.MethodPost, "/orders", c.body, headers...)
			if c.status == 202 {
				require.Equal(t, 202, w.Code, w.Body.String())
				assert.Equal(t, "/orders/1", w.Header().Get("Location"))
				assert.Contains(t, w.Body.String(), `"key":"k1"`)
				return
			}
			p := problem(t, w, c.status)
			assert.NotContains(t, w.Body.String(), "Go value")
			assert.NotContains(t, w.Body.String(), "createOrder")
			if c.message == "" {
				return
			}
			require.Len(t, p["errors"], 1)
			assert.Equal(t, map[string]any{"field": c.field, "message": c.message}, p["errors"].([]any)[0])
		})
	}
}

func TestBodyOfUnknownLengthIsLimited(t *testing.T) {
	t.Parallel()
	f := orders(t)
	r := httptest.NewRequest(http.MethodPost, "/orders", strings.NewReader(`{"extra":{"a":"`+strings.Repeat("x", 2000)+`"}}`))
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength = -1
	w := httptest.NewRecorder()
	f.Handler().ServeHTTP(w, r)
	problem(t, w, http.StatusRequestEntityTooLarge)
}

type searchPets struct {
	Store    string    `path:"store" json:"-"`
	Category []string  `query:"category" json:"-"`
	Max      *int      `query:"max" json:"-"`
	Age      uint8     `query:"age" json:"-"`
	Weight   float64   `query:"weight" json:"-"`
	Special  bool      `query:"special" json:"-"`
	Since    time.Time `query:"since" json:"-"`
	Match    string    `header:"If-Match" json:"-"`
}

func TestParametersAreBound(t *testing.T) {
	t.Parallel()
	f := newFixture(t, service.Config{}, service.Deps{})
	var got searchPets
	require.NoError(t, f.Handle(service.Route{
		Pattern: "GET /stores/{store}/pets", Operation: "search", Policy: security.Public(),
		Handler: service.JSON(func(_ context.Context, in searchPets) (struct{}, error) {
			got = in
			return struct{}{}, nil
		}),
	}))
	w := f.do(t, http.MethodGet, "/stores/a%2Fb/pets?category=cat&category=dog&max=-3&age=255&weight=1.5&special=true"+
		"&since=2026-01-02T03:04:05Z&unknown=1", "", "If-Match", `"7"`)
	require.Equal(t, http.StatusNoContent, w.Code, w.Body.String())
	assert.Empty(t, w.Body.String())
	three := -3
	assert.Equal(t, searchPets{
		Store: "a/b", Category: []string{"cat", "dog"}, Max: &three, Age: 255, Weight: 1.5, Special: true,
		Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Match: `"7"`,
	}, got)

	w = f.do(t, http.MethodGet, "/stores/a/pets?max=x&age=256&weight=heavy&special=perhaps&since=now&age=1", "")
	p := problem(t, w, http.StatusBadRequest)
	messages := map[string]string{}
	for _, e := range p["errors"].([]any) {
		messages[e.(map[string]any)["field"].(string)] = e.(map[string]any)["message"].(string)
	}
	assert.Equal(t, map[string]string{
		"max": "must be a whole number", "age": "is given more than once", "weight": "must be a number",
		"special": "must be true or false", "since": "is not in the expected form",
	}, messages)
}

func TestRepliesAreWholeOrProblems(t *testing.T) {
	t.Parallel()
	f := newFixture(t, service.Config{}, service.Deps{})
	p := security.Public()
	require.NoError(t, f.Handle(
		service.Route{Pattern: "GET /nan", Operation: "nan", Policy: p, Handler: service.JSON(
			func(context.Context, struct{}) (map[string]float64, error) {
				return map[string]float64{"a": math.NaN()}, nil
			})},
		service.Route{Pattern: "GET /201", Operation: "created", Policy: p, Handler: service.JSON(
			func(context.Context, struct{}) ([]int, error) { return []int{1}, nil }, service.Status(201))},
		service.Route{Pattern: "GET /204", Operation: "nothing", Policy: p, Handler: service.JSON(
			func(context.Context, struct{}) (service.Response[any], error) {
				return service.Response[any]{Status: 204, Body: "not sent"}, nil
			})},
		service.Route{Pattern: "GET /err", Operation: "err", Policy: p, Handler: service.JSON(
			func(context.Context, struct{}) (int, error) { return 1, service.NewProblem(404, "gone") })},
	))
	problem(t, f.do(t, http.MethodGet, "/nan", ""), 500)
	w := f.do(t, http.MethodGet, "/201", "")
	assert.Equal(t, 201, w.Code)
	assert.Equal(t, "[1]\n", w.Body.String())
	w = f.do(t, http.MethodGet, "/204", "")
	assert.Equal(t, 204, w.Code)
	assert.Empty(t, w.Body.String())
	assert.Equal(t, "gone", problem(t, f.do(t, http.MethodGet, "/err", ""), 404)["detail"])
}

// FuzzBody: whatever arrives, the reply is 202 or a problem of the 400s, and what is accepted is valid JSON on its own.
func FuzzBody(f *testing.F) {
	for _, s := range []string{`{"items":[{"pet":"7","quantity":2}]}`, `{"a":1,"A":2}`, `[[[[`, `{"":{"":[]}}`, "null", `"x"`, `{"items":[{}]}{}`} {
		f.Add(s)
	}
	tel, err := observability.New(observability.Config{Service: "x", LogWriter: io.Discard, DisableRuntimeMetrics: true})
	require.NoError(f, err)
	svc, err := service.New(service.Config{Name: "x", Addr: "127.0.0.1:0"}, service.Deps{Telemetry: tel})
	require.NoError(f, err)
	require.NoError(f, svc.Handle(service.Route{
		Pattern: "POST /orders", Operation: "create-order", Policy: security.Public(),
		Handler: service.JSON(func(_ context.Context, _ createOrder) (struct{}, error) { return struct{}{}, nil }),
	}))
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, "/orders", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		svc.Handler().ServeHTTP(w, r)
		if w.Code == http.StatusNoContent {
			require.True(t, json.Valid([]byte(body)), "accepted %q", body)
			return
		}
		require.True(t, w.Code >= 400 && w.Code < 500, "%d for %q", w.Code, body)
		require.True(t, json.Valid(w.Body.Bytes()))
	})
}
