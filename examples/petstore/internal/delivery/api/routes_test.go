package api_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/data/migrate"
	"github.com/marty-framework/mmf/examples/petstore/internal/delivery"
	"github.com/marty-framework/mmf/examples/petstore/internal/delivery/adapters"
	"github.com/marty-framework/mmf/examples/petstore/internal/delivery/api"
	"github.com/marty-framework/mmf/examples/petstore/internal/delivery/domain"
	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/security/ratelimit"
	"github.com/marty-framework/mmf/service"
)

func TestWhoSeesWhat(t *testing.T) {
	t.Parallel()
	db := datatest.SQLite(t)
	require.NoError(t, migrate.Up(t.Context(), db, delivery.Migrations(), migrate.Config{Name: "delivery"}))
	store := adapters.SQL{}
	require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		if _, err := store.TakeSlot(ctx, tx, "2026-12-01", 1); err != nil {
			return err
		}
		return store.Save(ctx, tx, domain.Delivery{
			ID: "del-1", OrderID: "ord-1", CustomerID: "alice", PetID: "goldfish-004", Priority: domain.Express,
			Day: "2026-12-01", Status: domain.Scheduled, CreatedAt: time.Now(), UpdatedAt: time.Now(),
		})
	}))
	tel, err := observability.New(observability.Config{Service: "delivery", LogWriter: io.Discard})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	limiter, err := ratelimit.NewLocal(ratelimit.LocalConfig{})
	require.NoError(t, err)
	svc, err := service.New(service.Config{Name: "delivery", Addr: "127.0.0.1:0"}, service.Deps{
		Telemetry: tel, Limiter: limiter,
		Authenticator: security.AuthenticatorFunc(func(r *http.Request) (security.Principal, error) {
			who := r.Header.Get("Authorization")
			if who == "" {
				return security.Principal{}, security.ErrNoCredentials
			}
			role := "customer"
			if who == "admin" {
				role = "admin"
			}
			return security.Principal{Subject: who, Roles: []string{role}}, nil
		}),
	})
	require.NoError(t, err)
	require.NoError(t, svc.Handle(api.Routes(db, store)...))

	for _, c := range []struct {
		who, order string
		status     int
	}{
		{"alice", "ord-1", 200},
		{"admin", "ord-1", 200},
		{"bob", "ord-1", 404}, // as if it did not exist
		{"alice", "ord-2", 404},
		{"", "ord-1", 401},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/deliveries/"+c.order, nil)
		if c.who != "" {
			r.Header.Set("Authorization", c.who)
		}
		w := httptest.NewRecorder()
		svc.Handler().ServeHTTP(w, r)
		require.Equal(t, c.status, w.Code, "%s as %q: %s", c.order, c.who, w.Body)
		if c.status == http.StatusOK {
			var d api.Delivery
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &d))
			require.Equal(t, "2026-12-01", d.Slot)
			require.Equal(t, "scheduled", d.Status)
		}
	}
}
