package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/data/migrate"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment/adapters"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment/api"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment/domain"
	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/security/ratelimit"
	"github.com/marty-framework/mmf/service"
)

// book is the gateway's book as a test wants it.
type book struct {
	charges []adapters.GatewayCharge
	err     error
}

func (b *book) Charges(context.Context, string) ([]adapters.GatewayCharge, error) {
	return b.charges, b.err
}

// caller takes the name of a user from the Authorization header.
func caller(r *http.Request) (security.Principal, error) {
	switch r.Header.Get("Authorization") {
	case "":
		return security.Principal{}, security.ErrNoCredentials
	case "admin":
		return security.Principal{Subject: "admin", Roles: []string{"admin"}}, nil
	case "service":
		return security.Principal{Subject: "order", Service: true}, nil
	default:
		return security.Principal{Subject: r.Header.Get("Authorization"), Roles: []string{"customer"}}, nil
	}
}

func handler(t *testing.T, gateway *book) http.Handler {
	t.Helper()
	db := datatest.SQLite(t)
	require.NoError(t, migrate.Up(t.Context(), db, payment.Migrations(), migrate.Config{Name: "payment"}))
	order := domain.Order{ID: "ord-1", CustomerID: "alice", Amount: domain.Money{Cents: 129600, Currency: "USD"}, Method: "pm_visa"}
	p := domain.NewPayment(order, "key", domain.Charge{ID: "ch-1", Status: domain.ChargeRefunded, RefundID: "re-1"}, time.Now())
	require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		return adapters.SQL{}.Save(ctx, tx, p, domain.Postings(p))
	}))
	tel, err := observability.New(observability.Config{Service: "payment", LogWriter: io.Discard})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	limiter, err := ratelimit.NewLocal(ratelimit.LocalConfig{})
	require.NoError(t, err)
	svc, err := service.New(service.Config{Name: "payment", Addr: "127.0.0.1:0"}, service.Deps{
		Telemetry: tel, Limiter: limiter, Authenticator: security.AuthenticatorFunc(caller),
	})
	require.NoError(t, err)
	require.NoError(t, svc.Handle(api.Routes(db, adapters.SQL{}, gateway)...))
	return svc.Handler()
}

func get(t *testing.T, h http.Handler, who, path string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	if who != "" {
		r.Header.Set("Authorization", who)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestWhoSeesWhat(t *testing.T) {
	t.Parallel()
	h := handler(t, &book{})
	for _, c := range []struct {
		who, path string
		status    int
	}{
		{"alice", "/api/v1/payments/ord-1", 200},
		{"admin", "/api/v1/payments/ord-1", 200},
		{"bob", "/api/v1/payments/ord-1", 404}, // as if it did not exist
		{"alice", "/api/v1/payments/ord-2", 404},
		{"admin", "/api/v1/payments/ord-2", 404},
		{"service", "/api/v1/payments/ord-1", 403},
		{"", "/api/v1/payments/ord-1", 401},
		{"admin", "/api/v1/ledger/ord-1", 200},
		{"admin", "/api/v1/ledger/ord-2", 200}, // empty: no entry is an answer
		{"alice", "/api/v1/ledger/ord-1", 403},
		{"", "/api/v1/ledger/ord-1", 401},
	} {
		w := get(t, h, c.who, c.path)
		require.Equal(t, c.status, w.Code, "%s as %q: %s", c.path, c.who, w.Body)
		if c.status >= 400 {
			require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
		}
	}
	others, absent := get(t, h, "bob", "/api/v1/payments/ord-1"), get(t, h, "bob", "/api/v1/payments/ord-2")
	var a, b struct{ Type, Title, Detail string }
	require.NoError(t, json.Unmarshal(others.Body.Bytes(), &a))
	require.NoError(t, json.Unmarshal(absent.Body.Bytes(), &b))
	require.Equal(t, a, b, "the two cannot be told apart")
}

func TestLedgerShowsBothBooks(t *testing.T) {
	t.Parallel()
	gateway := &book{charges: []adapters.GatewayCharge{{ID: "ch-1", Status: "refunded", AmountCents: 129600, Currency: "USD", Attempts: 2}}}
	h := handler(t, gateway)
	var ledger api.Ledger
	require.NoError(t, json.Unmarshal(get(t, h, "admin", "/api/v1/ledger/ord-1").Body.Bytes(), &ledger))
	require.Equal(t, map[string]int64{"USD": 0}, ledger.Balance)
	require.Len(t, ledger.Entries, 4)
	require.Equal(t, gateway.charges, ledger.Gateway)

	gateway.err = errors.New("connection refused by 10.0.0.7")
	w := get(t, h, "admin", "/api/v1/ledger/ord-1")
	require.Equal(t, http.StatusOK, w.Code, "our own book does not depend on theirs")
	require.Contains(t, w.Body.String(), "gateway_error")
	require.NotContains(t, w.Body.String(), "10.0.0.7")
}
