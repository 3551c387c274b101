package order_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/examples/petstore/internal/order/api"
	"github.com/marty-framework/mmf/examples/petstore/internal/order/app"
	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/security/ratelimit"
	"github.com/marty-framework/mmf/service"
)

func appViewer(customer string) app.Viewer { return app.Viewer{CustomerID: customer} }

const goldfish = `{"petId":"goldfish-004","paymentMethod":"pm_visa"}`

// call sends a request as a user, whose name stands for a token here, and returns the reply with its decoded body.
func call(t *testing.T, h http.Handler, user, method, path, body string, header ...string) (*http.Response, map[string]any) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if user != "" {
		req.Header.Set("Authorization", "Bearer "+user)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	var decoded map[string]any
	if rec.Body.Len() > 0 {
		require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &decoded), rec.Body.String())
	}
	return rec.Result(), decoded
}

func newAPI(t *testing.T) (*rig, http.Handler) {
	t.Helper()
	r := newRig(t, datatest.SQLite(t), 5*time.Second)
	limiter, err := ratelimit.NewLocal(ratelimit.LocalConfig{})
	require.NoError(t, err)
	tel, err := observability.New(observability.Config{Service: "order", LogWriter: io.Discard})
	require.NoError(t, err)
	t.Cleanup(func() { _ = tel.Shutdown(context.Background()) })
	shell, err := service.New(service.Config{Name: "order", Addr: "127.0.0.1:0"}, service.Deps{
		Telemetry: tel, Limiter: limiter,
		Authenticator: security.AuthenticatorFunc(func(req *http.Request) (security.Principal, error) {
			name := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
			switch name {
			case "":
				return security.Principal{}, security.ErrNoCredentials
			case "admin":
				return security.Principal{Subject: name, Roles: []string{platform.RoleAdmin}}, nil
			}
			return security.Principal{Subject: name, Roles: []string{platform.RoleCustomer}}, nil
		}),
	})
	require.NoError(t, err)
	require.NoError(t, shell.Handle(api.Routes(r.orders)...))
	return r, shell.Handler()
}

func TestOrderAPI(t *testing.T) {
	t.Parallel()
	r, h := newAPI(t)
	resp, body := call(t, h, "alice", "POST", "/api/v1/orders", goldfish, "Idempotency-Key", "k1")
	require.Equal(t, 202, resp.StatusCode, body)
	at := resp.Header.Get("Location")
	require.Regexp(t, `^/api/v1/orders/ord-[a-z2-7]{20}$`, at)
	require.Empty(t, resp.Header.Get("Idempotent-Replayed"))
	id, _ := body["id"].(string)

	t.Log("the same again is the same order")
	resp, body = call(t, h, "alice", "POST", "/api/v1/orders", goldfish, "Idempotency-Key", "k1")
	require.Equal(t, 202, resp.StatusCode)
	require.Equal(t, id, body["id"])
	require.Equal(t, "true", resp.Header.Get("Idempotent-Replayed"))

	t.Log("something else under the same key is refused")
	resp, body = call(t, h, "alice", "POST", "/api/v1/orders", `{"petId":"goldfish-004","paymentMethod":"pm_other"}`, "Idempotency-Key", "k1")
	require.Equal(t, 422, resp.StatusCode)
	require.Contains(t, body["detail"], "use a new key")

	t.Log("the key of another customer is another key")
	resp, body = call(t, h, "bob", "POST", "/api/v1/orders", goldfish, "Idempotency-Key", "k1")
	require.Equal(t, 202, resp.StatusCode)
	require.NotEqual(t, id, body["id"])

	_, err := r.settle(id)
	require.NoError(t, err)
	_, body = call(t, h, "alice", "GET", at, "")
	require.Equal(t, "approved", body["state"])
	require.EqualValues(t, 2700, body["amount_cents"])
	steps, _ := body["workflow_steps"].([]any)
	require.Len(t, steps, 5)
	for _, s := range steps {
		step, _ := s.(map[string]any)
		require.Equal(t, "done", step["status"], step)
	}
	_, body = call(t, h, "alice", "GET", at+"/history", "")
	require.Len(t, body["events"], 2)
	_, body = call(t, h, "alice", "GET", "/api/v1/orders", "")
	require.Len(t, body["orders"], 1)
	resp, body = call(t, h, "alice", "GET", "/api/v1/sagas/"+id, "")
	require.Equal(t, 200, resp.StatusCode)
	require.NotEmpty(t, body["journal"])

	t.Log("what ended stays")
	resp, _ = call(t, h, "alice", "POST", at+"/cancel", `{}`)
	require.Equal(t, 409, resp.StatusCode)
	resp, _ = call(t, h, "admin", "POST", "/api/v1/sagas/"+id+"/retry", `{"reason":"curious"}`)
	require.Equal(t, 409, resp.StatusCode)

	t.Log("admins see everything; others do not learn that it exists")
	resp, _ = call(t, h, "admin", "GET", at, "")
	require.Equal(t, 200, resp.StatusCode)
	for _, path := range []string{at, at + "/history", "/api/v1/sagas/" + id} {
		resp, theirs := call(t, h, "bob", "GET", path, "")
		require.Equal(t, 404, resp.StatusCode, path)
		unknown, nobodys := call(t, h, "bob", "GET", strings.Replace(path, id, "ord-aaaaaaaaaaaaaaaaaaaa", 1), "")
		require.Equal(t, 404, unknown.StatusCode)
		require.Equal(t, nobodys["detail"], theirs["detail"])
	}
	resp, _ = call(t, h, "bob", "POST", at+"/cancel", `{}`)
	require.Equal(t, 404, resp.StatusCode)
}

func TestOrderAPIRefuses(t *testing.T) {
	t.Parallel()
	_, h := newAPI(t)
	for _, c := range []struct {
		name, user, body, key string
		status                int
		says                  string
	}{
		{"no token", "", goldfish, "k", 401, "credentials"},
		{"an admin who orders", "admin", goldfish, "k", 403, ""},
		{"no key", "alice", goldfish, "", 400, "Idempotency-Key"},
		{"a key with a space", "alice", goldfish, "a b", 422, "Idempotency-Key"},
		{"no JSON", "alice", `{"petId":`, "k", 400, ""},
		{"an unknown member", "alice", `{"petId":"goldfish-004","paymentMethod":"pm_visa","customerId":"bob"}`, "k", 400, "customerId"},
		{"an unknown pet", "alice", `{"petId":"unicorn-001","paymentMethod":"pm_visa"}`, "k", 422, "GET /api/v1/pets"},
		{"no pet", "alice", `{"paymentMethod":"pm_visa"}`, "k", 422, "petId"},
		{"a card number", "alice", `{"petId":"goldfish-004","paymentMethod":"4111111111111111"}`, "k", 422, "never send a card number"},
		{"a priority", "alice", `{"petId":"goldfish-004","paymentMethod":"pm_visa","priority":"now"}`, "k", 422, "express"},
		{"instructions without end", "alice", `{"petId":"goldfish-004","paymentMethod":"pm_visa","specialInstructions":"` + strings.Repeat("x", 501) + `"}`, "k", 422, "500"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			resp, body := call(t, h, c.user, "POST", "/api/v1/orders", c.body, "Idempotency-Key", c.key)
			require.Equal(t, c.status, resp.StatusCode, body)
			require.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
			text, err := json.Marshal(body)
			require.NoError(t, err)
			require.Contains(t, string(text), c.says)
			require.NotContains(t, string(text), "4111111111111111")
		})
	}
	resp, _ := call(t, h, "alice", "POST", "/api/v1/sagas/ord-x/retry", `{}`)
	require.Equal(t, 403, resp.StatusCode)
	resp, _ = call(t, h, "admin", "POST", "/api/v1/sagas/ord-x/retry", `{"reason":"curious"}`)
	require.Equal(t, 404, resp.StatusCode)
}

func TestTooManyOpenOrders(t *testing.T) {
	t.Parallel()
	r, h := newAPI(t)
	loseCommands(r, "reserve_pet")
	r.orders.MaxOpen = func() int { return 1 }
	resp, body := call(t, h, "alice", "POST", "/api/v1/orders", goldfish, "Idempotency-Key", "k1")
	require.Equal(t, 202, resp.StatusCode)
	id, _ := body["id"].(string)
	require.Eventually(t, func() bool {
		_, err := r.orders.Store.Get(t.Context(), r.orders.DB, id)
		return err == nil
	}, 20*time.Second, 5*time.Millisecond)
	resp, _ = call(t, h, "alice", "POST", "/api/v1/orders", goldfish, "Idempotency-Key", "k2")
	require.Equal(t, 409, resp.StatusCode)
	resp, _ = call(t, h, "alice", "POST", "/api/v1/orders", goldfish, "Idempotency-Key", "k1")
	require.Equal(t, 202, resp.StatusCode, "a repetition is no further order")
	resp, _ = call(t, h, "bob", "POST", "/api/v1/orders", goldfish, "Idempotency-Key", "k2")
	require.Equal(t, 202, resp.StatusCode)
}
