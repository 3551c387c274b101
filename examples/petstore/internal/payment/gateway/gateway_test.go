package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datasqlite"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment/gateway"
)

const apiKey = "a-key-for-tests-only"

func open(t *testing.T, db data.DB) *httptest.Server {
	t.Helper()
	g, err := gateway.New(gateway.Config{APIKey: apiKey}, db)
	require.NoError(t, err)
	require.NoError(t, g.Migrate(t.Context()))
	srv := httptest.NewServer(g.Handler())
	t.Cleanup(srv.Close)
	return srv
}

func call(ctx context.Context, method, url, key, body string, into any) (int, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+apiKey)
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || into == nil {
		return resp.StatusCode, err
	}
	return resp.StatusCode, json.Unmarshal(text, into)
}

func charge(t *testing.T, srv *httptest.Server, key, method string) (int, gateway.Charge) {
	t.Helper()
	var c gateway.Charge
	status, err := call(t.Context(), "POST", srv.URL+"/v1/charges", key,
		`{"amount_cents":129600,"currency":"USD","payment_method":"`+method+`","reference":"ord-1"}`, &c)
	require.NoError(t, err)
	return status, c
}

func reverse(t *testing.T, srv *httptest.Server, key string) gateway.Charge {
	t.Helper()
	var c gateway.Charge
	status, err := call(t.Context(), "POST", srv.URL+"/v1/reversals", "", `{"charge_key":"`+key+`"}`, &c)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status)
	return c
}

func charges(t *testing.T, srv *httptest.Server) []gateway.Charge {
	t.Helper()
	var list struct{ Charges []gateway.Charge }
	status, err := call(t.Context(), "GET", srv.URL+"/v1/charges?reference=ord-1", "", "", &list)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status)
	return list.Charges
}

func TestOutcomesByMethod(t *testing.T) {
	t.Parallel()
	for name, db := range datatest.Engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := open(t, db(t))

			status, c := charge(t, srv, "visa", gateway.Visa)
			require.Equal(t, http.StatusCreated, status)
			require.Equal(t, "captured", c.Status)
			status, again := charge(t, srv, "visa", gateway.Visa)
			require.Equal(t, http.StatusOK, status)
			require.Equal(t, c.ID, again.ID)
			require.EqualValues(t, 2, again.Attempts)

			for range 2 {
				status, c = charge(t, srv, "declined", gateway.Declining)
				require.Equal(t, http.StatusPaymentRequired, status)
				require.Equal(t, "insufficient_funds", c.Reason)
			}

			status, _ = charge(t, srv, "down", gateway.Unreachable)
			require.Equal(t, http.StatusServiceUnavailable, status)
			status, _ = charge(t, srv, "odd", "pm_odd")
			require.Equal(t, http.StatusUnprocessableEntity, status)
			require.Len(t, charges(t, srv), 2, "what did not happen is in no book")

			require.Equal(t, "declined", reverse(t, srv, "declined").Status, "nothing to give back")
		})
	}
}

func TestChargeThenTimeout(t *testing.T) {
	t.Parallel()
	srv := open(t, datatest.SQLite(t))
	body := `{"amount_cents":1,"currency":"USD","payment_method":"pm_charge_then_timeout","reference":"ord-1"}`
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := call(ctx, "POST", srv.URL+"/v1/charges", "k", body, nil)
		gone <- err
	}()
	require.Eventually(t, func() bool { return len(charges(t, srv)) == 1 }, 10*time.Second, 5*time.Millisecond, "charged")
	select {
	case err := <-gone:
		t.Fatalf("the first attempt got an answer: %v", err)
	default:
	}
	cancel()
	require.ErrorIs(t, <-gone, context.Canceled)

	var c gateway.Charge
	status, err := call(t.Context(), "POST", srv.URL+"/v1/charges", "k", body, &c)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "captured", c.Status)
	require.Len(t, charges(t, srv), 1)
}

func TestReversal(t *testing.T) {
	t.Parallel()
	srv := open(t, datatest.SQLite(t))

	_, c := charge(t, srv, "k", gateway.Visa)
	first := reverse(t, srv, "k")
	require.Equal(t, "refunded", first.Status)
	require.Equal(t, c.ID, first.ID)
	require.NotEmpty(t, first.RefundID)
	require.Equal(t, first, reverse(t, srv, "k"), "money goes back once")
	status, c := charge(t, srv, "k", gateway.Visa)
	require.Equal(t, http.StatusConflict, status, "a charge that was taken back stays so")
	require.Equal(t, "refunded", c.Status)

	require.Equal(t, "voided", reverse(t, srv, "never seen").Status)
	status, c = charge(t, srv, "never seen", gateway.Visa)
	require.Equal(t, http.StatusConflict, status, "a late charge can no longer happen")
	require.Equal(t, "voided", c.Status)
}

func TestConcurrentAttemptsChargeOnce(t *testing.T) {
	t.Parallel()
	for name, db := range datatest.Engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := open(t, db(t))
			ids := make([]string, 8)
			var wg sync.WaitGroup
			for i := range ids {
				wg.Go(func() {
					var c gateway.Charge
					status, err := call(t.Context(), "POST", srv.URL+"/v1/charges", "k",
						`{"amount_cents":1,"currency":"USD","payment_method":"pm_visa","reference":"ord-1"}`, &c)
					if err == nil && status < 300 {
						ids[i] = c.ID
					}
				})
			}
			wg.Wait()
			for _, id := range ids {
				require.Equal(t, ids[0], id)
				require.NotEmpty(t, id)
			}
			require.EqualValues(t, len(ids), charges(t, srv)[0].Attempts)
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	srv := open(t, datatest.SQLite(t))
	charge(t, srv, "used", gateway.Visa)
	const valid = `{"amount_cents":1,"currency":"USD","payment_method":"pm_visa","reference":"ord-1"}`
	for name, c := range map[string]struct {
		path, key, body string
		status          int
		code            string
	}{
		"no key":            {"/v1/charges", "", valid, 400, "idempotency_key"},
		"long key":          {"/v1/charges", strings.Repeat("k", 256), valid, 400, "idempotency_key"},
		"other body":        {"/v1/charges", "used", valid, 409, "idempotency_key_reused"},
		"no JSON":           {"/v1/charges", "k", `{`, 400, "bad_json"},
		"unknown member":    {"/v1/charges", "k", `{"amount":1}`, 400, "bad_json"},
		"two values":        {"/v1/charges", "k", valid + valid, 400, "bad_json"},
		"huge body":         {"/v1/charges", "k", `{"reference":"` + strings.Repeat("x", 20<<10) + `"}`, 400, "bad_json"},
		"no amount":         {"/v1/charges", "k", strings.Replace(valid, ":1", ":0", 1), 422, "invalid_charge"},
		"reversal of what?": {"/v1/reversals", "", `{}`, 422, "invalid_reversal"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got struct{ Error struct{ Code string } }
			status, err := call(t.Context(), "POST", srv.URL+c.path, c.key, c.body, &got)
			require.NoError(t, err)
			require.Equal(t, c.status, status)
			require.Equal(t, c.code, got.Error.Code)
		})
	}
	resp, err := http.Post(srv.URL+"/v1/charges", "application/json", bytes.NewBufferString(valid))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
}

// The book is on disk before the answer is: a gateway that was killed and opened again knows the charge.
func TestChargesSurviveAKill(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gateway.db")
	first, err := datasqlite.Open(t.Context(), datasqlite.Config{Path: path})
	require.NoError(t, err)
	t.Cleanup(func() { _ = first.Close() }) // left open while the second one works: nothing was closed in order
	_, c := charge(t, open(t, first), "k", gateway.Visa)

	second, err := datasqlite.Open(t.Context(), datasqlite.Config{Path: path})
	require.NoError(t, err)
	t.Cleanup(func() { _ = second.Close() })
	status, again := charge(t, open(t, second), "k", gateway.Visa)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, c.ID, again.ID)
}

func TestRunServesUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	g, err := gateway.New(gateway.Config{APIKey: apiKey}, datatest.SQLite(t))
	require.NoError(t, err)
	require.Error(t, g.Run(t.Context()), "not listening yet")
	require.NoError(t, g.Migrate(t.Context()))
	require.NoError(t, g.Listen(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()

	hung := make(chan error, 1)
	go func() {
		_, err := call(t.Context(), "POST", g.URL()+"/v1/charges", "k",
			`{"amount_cents":1,"currency":"USD","payment_method":"pm_charge_then_timeout","reference":"ord-1"}`, nil)
		hung <- err
	}()
	require.Eventually(t, func() bool {
		var list struct{ Charges []gateway.Charge }
		_, err := call(t.Context(), "GET", g.URL()+"/v1/charges?reference=ord-1", "", "", &list)
		return err == nil && len(list.Charges) == 1
	}, 10*time.Second, 5*time.Millisecond)
	cancel()
	require.NoError(t, <-ended, "an attempt that hangs on purpose does not hold up the end")
	require.Error(t, <-hung)

	_, err = gateway.New(gateway.Config{APIKey: "short", HangFor: -1}, datatest.SQLite(t))
	require.ErrorContains(t, err, "APIKey")
	require.ErrorContains(t, err, "HangFor")
}

// TestDeclineOnPurpose declines new charges only: what an earlier attempt under a key led to stays as it is.
func TestDeclineOnPurpose(t *testing.T) {
	t.Parallel()
	var on atomic.Bool
	g, err := gateway.New(gateway.Config{APIKey: apiKey, Decline: func(_ context.Context, customer string) bool {
		return on.Load() && customer == "alice"
	}}, datatest.SQLite(t))
	require.NoError(t, err)
	require.NoError(t, g.Migrate(t.Context()))
	srv := httptest.NewServer(g.Handler())
	t.Cleanup(srv.Close)
	of := func(customer, key, method string) (int, string) {
		var c gateway.Charge
		status, err := call(t.Context(), "POST", srv.URL+"/v1/charges", key, `{"amount_cents":100,"currency":"USD","payment_method":"`+method+
			`","reference":"ord-1","customer":"`+customer+`"}`, &c)
		require.NoError(t, err)
		return status, c.Status + " " + c.Reason
	}
	status, c := of("alice", "before", gateway.Visa)
	require.Equal(t, http.StatusCreated, status)
	require.Equal(t, "captured ", c)
	on.Store(true)
	status, c = of("alice", "before", gateway.Visa)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "captured ", c)
	for _, method := range []string{gateway.Visa, gateway.ChargeThenTimeout} {
		status, c = of("alice", method, method)
		require.Equal(t, http.StatusPaymentRequired, status)
		require.Equal(t, "declined declined_on_purpose", c)
	}
	status, _ = of("bob", "other", gateway.Visa)
	require.Equal(t, http.StatusCreated, status)
	on.Store(false)
	status, _ = of("alice", gateway.Visa, gateway.Visa)
	require.Equal(t, http.StatusPaymentRequired, status, "and so does what was declined")
}
