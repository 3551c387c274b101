package shop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/examples/petstore/internal/embedded"
	"github.com/marty-framework/mmf/examples/petstore/internal/shop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait: long, for machines that are busy.
const patience = time.Minute

// open starts a shop and stops it at the test's end; stop does so before.
func open(t *testing.T, opts shop.Options) (s *shop.Shop, stop func()) {
	t.Helper()
	opts.FreePorts = true
	log := &bytes.Buffer{}
	opts.LogWriter = &lockedWriter{w: log} // the services share it
	s, err := shop.New(t.Context(), opts)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
		if t.Failed() {
			t.Log(log.String())
		}
	})
	t.Cleanup(stop)
	ready, cancelReady := context.WithTimeout(t.Context(), patience)
	defer cancelReady()
	require.NoError(t, s.WaitReady(ready))
	return s, stop
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// customer talks to a shop's services by HTTP, with a token.
type customer struct {
	t     *testing.T
	shop  *shop.Shop
	token string
	http  *http.Client
}

func login(t *testing.T, s *shop.Shop, user string) customer {
	t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	c := customer{t: t, shop: s, http: &http.Client{Transport: transport, Timeout: patience}}
	base, err := s.URL("issuer")
	require.NoError(t, err)
	resp, err := c.http.PostForm(base+"/token", url.Values{"grant_type": {"urn:petstore:development"}, "user": {user}})
	require.NoError(t, err)
	body := c.decode(resp)
	c.token, _ = body["access_token"].(string)
	require.NotEmpty(t, c.token, body)
	return c
}

func (c customer) do(service, method, path, body string, header ...string) (*http.Response, map[string]any) {
	c.t.Helper()
	base, err := c.shop.URL(service)
	require.NoError(c.t, err)
	req, err := http.NewRequestWithContext(c.t.Context(), method, base+path, strings.NewReader(body))
	require.NoError(c.t, err)
	req.Header.Set("Authorization", "Bearer "+c.token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.http.Do(req)
	require.NoError(c.t, err)
	return resp, c.decode(resp)
}

func (c customer) decode(resp *http.Response) map[string]any {
	c.t.Helper()
	defer func() { _ = resp.Body.Close() }()
	var body map[string]any
	require.NoError(c.t, json.NewDecoder(resp.Body).Decode(&body))
	return body
}

// buy orders a pet and waits until the order has ended.
func (c customer) buy(service, key, pet, method string) map[string]any {
	c.t.Helper()
	resp, body := c.do(service, "POST", "/api/v1/orders", fmt.Sprintf(`{"petId":%q,"paymentMethod":%q}`, pet, method), "Idempotency-Key", key)
	require.Equal(c.t, http.StatusAccepted, resp.StatusCode, body)
	return c.settled(service, resp.Header.Get("Location"))
}

func (c customer) settled(service, at string) map[string]any {
	c.t.Helper()
	var order map[string]any
	require.Eventually(c.t, func() bool {
		_, order = c.do(service, "GET", at, "")
		return order["workflow"] == "completed" || order["workflow"] == "compensated"
	}, patience, 20*time.Millisecond, "%v", order)
	return order
}

func (c customer) pet(id, want string) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		_, pet := c.do("catalog", "GET", "/api/v1/pets/"+id, "")
		return pet["status"] == want
	}, patience, 20*time.Millisecond, "%s becomes %s", id, want)
}

// trade is what every shop must do, on whatever it stands.
func trade(t *testing.T, s *shop.Shop) {
	t.Helper()
	alice, bob := login(t, s, "alice"), login(t, s, "bob")
	order := alice.buy("order", "k1", "golden-retriever-001", "pm_visa")
	require.Equal(t, "approved", order["state"], order)
	require.EqualValues(t, 129600, order["amount_cents"])
	alice.pet("golden-retriever-001", "sold")
	id, _ := order["id"].(string)
	_, payment := alice.do("payment", "GET", "/api/v1/payments/"+id, "")
	require.Equal(t, "charged", payment["status"], payment)
	_, delivery := alice.do("delivery", "GET", "/api/v1/deliveries/"+id, "")
	require.Equal(t, "scheduled", delivery["status"], delivery)

	order = bob.buy("order", "k1", "persian-cat-002", "pm_declined")
	require.Equal(t, "cancelled", order["state"], order)
	require.Contains(t, order["reason"], "declined")
	bob.pet("persian-cat-002", "available")

	order = bob.buy("order", "k2", "golden-retriever-001", "pm_visa")
	require.Equal(t, "cancelled", order["state"], "sold is sold: %v", order)

	resp, _ := bob.do("order", "GET", "/api/v1/orders/"+id, "")
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
}

func TestEmbedded(t *testing.T) {
	t.Parallel()
	s, stop := open(t, shop.Options{})
	trade(t, s)
	resp, err := http.Get("http://" + edge(t, s) + "/readyz")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	http.DefaultClient.CloseIdleConnections()
	svc, _ := s.Service("order")
	require.EventuallyWithT(t, func(t *assert.CollectT) { // the engine counts after it told the customer
		rec := httptest.NewRecorder()
		svc.Telemetry.MetricsHandler().ServeHTTP(rec, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/metrics", nil))
		metrics := rec.Body.String()
		for _, line := range []string{
			`mmf_saga_started_total{saga="place_order"} 3`, `mmf_saga_finished_total{outcome="completed",saga="place_order"} 1`,
			`mmf_saga_finished_total{outcome="compensated",saga="place_order"} 2`, `petstore_orders_total{outcome="cancelled"} 2`,
			`petstore_orders_total{outcome="approved"} 1`, `mmf_saga_duration_seconds_count{outcome="completed",saga="place_order"} 1`,
			`mmf_saga_step_duration_seconds_count{direction="forward",outcome="done",saga="place_order",step="create_order"} 3`,
			`mmf_saga_inflight{saga="place_order",status="running"} 0`, `mmf_saga_oldest_age_seconds{saga="place_order"} 0`,
			`mmf_saga_flush_records_count`, `mmf_saga_writer_queue`,
		} {
			assert.Contains(t, metrics, line)
		}
	}, patience, 50*time.Millisecond)
	dir := s.Stack.Dir
	stop()
	require.NoDirExists(t, dir, "a temporary folder goes with the shop")
}

func edge(t *testing.T, s *shop.Shop) string {
	t.Helper()
	svc, ok := s.Service("edge")
	require.True(t, ok)
	return svc.Shell.Addr()
}

// TestDataStays stops a shop and opens it again on the same folder.
func TestDataStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, stop := open(t, shop.Options{DataDir: dir})
	order := login(t, s, "alice").buy("order", "k", "goldfish-004", "pm_visa")
	id, _ := order["id"].(string)
	_, err := shop.New(t.Context(), shop.Options{DataDir: dir, FreePorts: true, LogWriter: io.Discard})
	require.ErrorIs(t, err, embedded.ErrInUse)
	stop()

	s, _ = open(t, shop.Options{DataDir: dir})
	alice := login(t, s, "alice")
	_, again := alice.do("order", "GET", "/api/v1/orders/"+id, "")
	require.Equal(t, order["state"], again["state"])
	require.Equal(t, order["payment_id"], again["payment_id"])
	alice.pet("goldfish-004", "sold")
	order = alice.buy("order", "k2", "cockatiel-003", "pm_visa")
	require.Equal(t, "approved", order["state"], "business goes on")
}

// TestServers is the same shop on real Postgres, Kafka and Redis.
func TestServers(t *testing.T) {
	t.Parallel()
	s, _ := open(t, servers(t))
	trade(t, s)
}

// TestApart runs the services in two processes, as far as they can tell: they share nothing but servers.
func TestApart(t *testing.T) {
	t.Parallel()
	opts := servers(t)
	opts.Services = []string{"issuer", "catalog", "payment", "delivery"}
	here, _ := open(t, opts)
	opts.Services = []string{"order"}
	for _, name := range []string{"issuer", "catalog", "payment", "delivery"} {
		at, err := here.URL(name)
		require.NoError(t, err)
		opts.Set = append(opts.Set, "http.urls."+name+"="+at)
	}
	there, _ := open(t, opts)
	alice := login(t, there, "alice")
	order := alice.buy("order", "k", "goldfish-004", "pm_visa")
	require.Equal(t, "approved", order["state"], order)
}

// servers are the settings of a shop on the test servers, with databases, topics and keys of its own.
func servers(t *testing.T) shop.Options {
	t.Helper()
	prefix := fmt.Sprintf("shop%d.", time.Now().UnixNano())
	brokers := datatest.KafkaBrokers(t)
	set := []string{
		"kafka.brokers=" + strings.Join(brokers, ","), "kafka.prefix=" + prefix,
		"redis.addr=" + datatest.RedisAddr(t), "redis.prefix=" + prefix,
	}
	dsn := datatest.PostgresDSN(t)
	set = append(set, "db.dsn="+dsn, "db.create=false")
	for _, name := range []string{"catalog", "order", "payment", "delivery"} {
		set = append(set, "db.dsns."+name+"="+datatest.PostgresDSN(t))
	}
	t.Cleanup(func() {
		client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
		require.NoError(t, err)
		defer client.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		admin := kadm.NewClient(client)
		topics, err := admin.ListTopics(ctx)
		require.NoError(t, err)
		var ours []string
		for _, name := range topics.Names() {
			if strings.HasPrefix(name, prefix) {
				ours = append(ours, name)
			}
		}
		_, err = admin.DeleteTopics(ctx, ours...)
		require.NoError(t, err)
	})
	return shop.Options{Env: "servers", Set: set}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	typo := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(typo, "env"), 0o750))
	require.NoError(t, os.WriteFile(filepath.Join(typo, "base.yaml"), []byte("http:\n  port_bas: 1\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(typo, "env", "embedded.yaml"), []byte("obs:\n  log_level: info\n"), 0o600))
	for _, c := range []struct {
		name string
		opts shop.Options
		says []string
	}{
		{"an unknown environment", shop.Options{Env: "staging"}, []string{"staging"}},
		{"an unknown setting", shop.Options{Set: []string{"http.port_bse=1"}}, []string{"http.port_bse", "port_base"}},
		{"an unknown key in a file", shop.Options{ConfigDir: typo}, []string{"base.yaml:2", "port_bas", "port_base"}},
		{"an unknown service", shop.Options{Services: []string{"billing"}}, []string{"billing", "order"}},
		{"a service twice", shop.Options{Services: []string{"issuer", "issuer"}}, []string{"twice"}},
		{"a fault in prod", shop.Options{Env: "prod", Set: []string{
			"fault.saga.crash_after_step=x", "db.dsn=postgres://h/d", "kafka.brokers=h:1", "redis.addr=h:1",
		}}, []string{"fault.saga.crash_after_step", "prod"}},
		{"prod with secrets of development", shop.Options{Env: "prod", Set: []string{
			"auth.client_secret=petstore-development-only", "db.dsn=postgres://h/d", "kafka.brokers=h:1", "redis.addr=h:1",
		}}, []string{"auth.client_secret", "MMF_PETSTORE_AUTH_CLIENT_SECRET", "auth.issuer", "https"}},
		{"no servers", shop.Options{Env: "servers"}, []string{
			"db.dsn", "MMF_PETSTORE_DB_DSN", "kafka.brokers", "MMF_PETSTORE_KAFKA_BROKERS", "redis.addr", "MMF_PETSTORE_REDIS_ADDR",
		}},
		{"nothing of what prod needs", shop.Options{Env: "prod"}, []string{
			"db.dsn", "MMF_PETSTORE_DB_DSN", "kafka.brokers", "MMF_PETSTORE_KAFKA_BROKERS", "redis.addr", "MMF_PETSTORE_REDIS_ADDR",
			"auth.client_secret", "MMF_PETSTORE_AUTH_CLIENT_SECRET", "auth.issuer", "MMF_PETSTORE_AUTH_ISSUER",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.opts.LogWriter = io.Discard
			_, err := shop.New(t.Context(), c.opts)
			for _, words := range c.says {
				require.ErrorContains(t, err, words)
			}
		})
	}
}

func TestOccupiedPort(t *testing.T) {
	t.Parallel()
	s, _ := open(t, shop.Options{Services: []string{"issuer"}})
	svc, _ := s.Service("issuer")
	_, port, _ := strings.Cut(svc.Shell.Addr(), ":")
	var base int
	_, err := fmt.Sscan(port, &base)
	require.NoError(t, err)
	// The issuer's port is the last of a row.
	_, err = shop.New(t.Context(), shop.Options{
		Services: []string{"issuer"}, Set: []string{fmt.Sprintf("http.port_base=%d", base-5)}, LogWriter: io.Discard,
	})
	require.ErrorContains(t, err, port)
	require.ErrorContains(t, err, "in use")
}
