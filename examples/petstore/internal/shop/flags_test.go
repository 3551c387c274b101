package shop_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	files "github.com/marty-framework/mmf/examples/petstore/config"
	"github.com/marty-framework/mmf/examples/petstore/internal/shop"
)

// override turns a flag in one service, and back at the end of the (sub)test.
func override(t *testing.T, s *shop.Shop, service, flag, variant string) {
	t.Helper()
	svc, ok := s.Service(service)
	require.True(t, ok)
	require.NoError(t, svc.Flags.Set.Override(flag, variant, time.Now().Add(time.Hour)))
	t.Cleanup(func() { svc.Flags.Set.ClearOverride(flag) })
}

// TestFlags turns each flag and looks at what the shop does then: with each flag on and off, or off and on.
func TestFlags(t *testing.T) {
	t.Parallel()
	s, _ := open(t, shop.Options{})
	alice := login(t, s, "alice")
	edge := "http://" + edge(t, s)
	for _, c := range []struct {
		service, flag, variant string
		plain, turned          func(t *testing.T)
	}{
		{
			"order", "payment_processing", "off",
			func(t *testing.T) {
				require.Equal(t, "approved", alice.buy("edge", "paid", "goldfish-004", "pm_visa")["state"])
			},
			func(t *testing.T) {
				const body = `{"petId":"cockatiel-003","paymentMethod":"pm_visa"}`
				resp, problem := alice.do("edge", "POST", "/api/v1/orders", body, "Idempotency-Key", "refused")
				require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
				require.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
				require.Equal(t, "30", resp.Header.Get("Retry-After"))
				require.Equal(t, true, problem["retryable"], problem)
				require.Contains(t, problem["detail"], "takes no payments")
				resp, _ = alice.do("edge", "POST", "/api/v1/orders", `{"petId":"goldfish-004","paymentMethod":"pm_visa"}`, "Idempotency-Key", "paid")
				require.Equal(t, http.StatusAccepted, resp.StatusCode, "what was ordered before is no new payment")
			},
		},
		{
			"edge", "real_time_order_updates", "off",
			func(t *testing.T) { // an order of nobody: the answer to a person is a page
				resp, body := get(t, edge+"/orders/ord-x/live")
				require.Equal(t, http.StatusNotFound, resp.StatusCode)
				require.NotContains(t, body, "switched off")
			},
			func(t *testing.T) {
				resp, body := get(t, edge+"/orders/ord-x/live")
				require.Equal(t, http.StatusNotFound, resp.StatusCode)
				require.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
				require.Contains(t, body, "switched off")
			},
		},
		{
			"catalog", "premium_filters", "off",
			func(t *testing.T) {
				resp, body := alice.do("edge", "GET", "/api/v1/pets?maxPrice=15000", "")
				require.Equal(t, http.StatusOK, resp.StatusCode, body)
				require.Len(t, body["pets"], 2)
				resp, body = alice.do("edge", "GET", "/api/v1/pets?maxPrice=0", "")
				require.Equal(t, http.StatusUnprocessableEntity, resp.StatusCode, body)
			},
			func(t *testing.T) {
				resp, body := alice.do("edge", "GET", "/api/v1/pets?maxPrice=15000", "")
				require.Equal(t, http.StatusBadRequest, resp.StatusCode, body)
				require.Contains(t, body["detail"], "maxPrice")
				resp, body = alice.do("edge", "GET", "/api/v1/pets", "")
				require.Equal(t, http.StatusOK, resp.StatusCode, body)
				require.Len(t, body["pets"], 5)
			},
		},
		{
			"payment", "fault.payment.decline", "on",
			func(t *testing.T) {
				require.Equal(t, "approved", alice.buy("order", "before", "cockatiel-003", "pm_visa")["state"])
			},
			func(t *testing.T) {
				order := alice.buy("order", "declined", "persian-cat-002", "pm_visa")
				require.Equal(t, "cancelled", order["state"])
				require.Contains(t, order["reason"], "declined_on_purpose")
				alice.pet("persian-cat-002", "available")
			},
		},
		{
			"delivery", "fault.delivery.no_slots", "on",
			func(t *testing.T) {
				require.Equal(t, "approved", alice.buy("order", "delivered", "bearded-dragon-005", "pm_visa")["state"])
			},
			func(t *testing.T) {
				order := alice.buy("order", "full", "persian-cat-002", "pm_visa")
				require.Equal(t, "cancelled", order["state"])
				require.Contains(t, order["reason"], "no slot is free")
				id, _ := order["id"].(string)
				_, payment := alice.do("payment", "GET", "/api/v1/payments/"+id, "")
				require.Equal(t, "refunded", payment["status"], payment)
			},
		},
	} {
		t.Run(c.flag, func(t *testing.T) {
			c.plain(t)
			override(t, s, c.service, c.flag, c.variant)
			c.turned(t)
			svc, _ := s.Service(c.service)
			_, metrics := get(t, "http://"+svc.Shell.AdminAddr()+"/metrics")
			require.Regexp(t, `mmf_flag_evaluations_total\{[^}]*flag="`+c.flag+`"[^}]*variant="`+c.variant+`"`, metrics)
		})
	}
}

// TestFlagsFileIsFollowed edits the file of a running shop.
func TestFlagsFileIsFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, files.Unpack(dir))
	s, _ := open(t, shop.Options{ConfigDir: dir, Services: []string{"issuer", "catalog"}})
	alice := login(t, s, "alice")
	status := func() int {
		resp, _ := alice.do("catalog", "GET", "/api/v1/pets?maxPrice=15000", "")
		return resp.StatusCode
	}
	require.Equal(t, http.StatusOK, status())
	file := filepath.Join(dir, "flags.json")
	on, err := os.ReadFile(file)
	require.NoError(t, err)
	write := func(content string) {
		require.NoError(t, os.WriteFile(file+".new", []byte(content), 0o600))
		require.NoError(t, os.Rename(file+".new", file))
	}
	write(strings.ReplaceAll(string(on), `"defaultVariant": "on"`, `"defaultVariant": "off"`))
	require.Eventually(t, func() bool { return status() == http.StatusBadRequest }, patience, 20*time.Millisecond)
	svc, _ := s.Service("catalog")
	require.EqualValues(t, 2, svc.Flags.Set.Generation())

	write(`{"flags": {"premium_filters": {"state": "ON"}}}`)
	require.Error(t, svc.Flags.Set.Reload(t.Context()), "what makes no sense is refused")
	require.Equal(t, http.StatusBadRequest, status(), "and the last good flags stay")

	write(string(on))
	require.Eventually(t, func() bool { return status() == http.StatusOK }, patience, 20*time.Millisecond)
}

func TestFlagsAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env, find, put string
		says           []string
	}{
		"no flags file":         {env: "embedded", says: []string{"flags.json", "no such file"}},
		"an unknown variant":    {env: "embedded", find: `"defaultVariant": "on"`, put: `"defaultVariant": "maybe"`, says: []string{"flags.json:5", "off, on"}},
		"a fault that is on":    {env: "prod", find: `"defaultVariant": "off"`, put: `"defaultVariant": "on"`, says: []string{"fault.payment.decline", "fault.delivery.no_slots", "prod"}},
		"a fault for somebody":  {env: "prod", find: `"defaultVariant": "off"`, put: `"defaultVariant": "off", "targeting": {"if": [true, "on"]}`, says: []string{"fault.payment.decline", "prod"}},
		"a fault without value": {env: "prod", find: `"defaultVariant": "off"`, put: `"defaultVariant": null`, says: []string{"fault.payment.decline", "prod"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			require.NoError(t, files.Unpack(dir))
			file := filepath.Join(dir, "flags.json")
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			if c.find == "" {
				require.NoError(t, os.Remove(file))
			} else {
				changed := strings.ReplaceAll(string(content), c.find, c.put)
				require.NotEqual(t, string(content), changed)
				require.NoError(t, os.WriteFile(file, []byte(changed), 0o600))
			}
			opts := shop.Options{Env: c.env, ConfigDir: dir, FreePorts: true, LogWriter: io.Discard, Services: []string{"edge"}}
			opts.Set = []string{"http.urls.issuer=http://127.0.0.1:1"}
			if c.env == "prod" {
				opts.Set = production()
			}
			_, err = shop.New(t.Context(), opts)
			for _, words := range c.says {
				require.ErrorContains(t, err, words)
			}
		})
	}
}

// production are settings that prod accepts. Nobody is there: the edge asks nobody before it runs.
func production() []string {
	return []string{
		"auth.client_secret=a-secret-of-our-own", "auth.issuer=https://issuer.example", "db.dsn=postgres://h/d", "kafka.brokers=h:1",
		"redis.addr=127.0.0.1:1", "http.urls.catalog=http://127.0.0.1:1", "http.urls.order=http://127.0.0.1:1",
		"http.urls.payment=http://127.0.0.1:1", "http.urls.delivery=http://127.0.0.1:1",
	}
}

// TestFaultsStayOffInProd: prod takes the built-in flags, whose faults are off, and no override turns one on.
func TestFaultsStayOffInProd(t *testing.T) {
	t.Parallel()
	s, err := shop.New(t.Context(), shop.Options{
		Env: "prod", Set: production(), FreePorts: true, LogWriter: io.Discard, Services: []string{"edge"},
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	override(t, s, "edge", "fault.payment.decline", "on")
	override(t, s, "edge", "payment_processing", "off")
	svc, _ := s.Service("edge")
	require.False(t, svc.Flags.PaymentDecline.Get(t.Context()))
	require.False(t, svc.Flags.PaymentProcessing.Get(t.Context()), "other flags obey")
}

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := (&http.Client{Transport: transport}).Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}
