package main

import (
	"bytes"
	"flag"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/marty-framework/mmf/examples/petstore/internal/shop"
)

func TestShopFlags(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]shop.Options{
		"":                           {Env: "embedded"},
		"--env servers --config dir": {Env: "servers", ConfigDir: "dir"},
		"--data dir":                 {Env: "embedded", DataDir: "dir"},
		"--services order,issuer":    {Env: "embedded", Services: []string{"order", "issuer"}},
		"--ports free":               {Env: "embedded", FreePorts: true},
		"--port-base 0":              {Env: "embedded", FreePorts: true},
		"--port-base 9000":           {Env: "embedded", Set: []string{"http.port_base=9000"}},
		"--log-level debug":          {Env: "embedded", Set: []string{"obs.log_level=debug"}},
		"--set a.b=1 --set a.c=2,3":  {Env: "embedded", Set: []string{"a.b=1", "a.c=2,3"}},
		"--fault saga.crash_after_step=reserve_pet": {
			Env: "embedded", Set: []string{"fault.saga.crash_after_step=reserve_pet"},
		},
	} {
		fs := flag.NewFlagSet("serve", flag.ContinueOnError)
		options := shopFlags(fs)
		require.NoError(t, parse(fs, strings.Fields(args), io.Discard), args)
		got, err := options()
		require.NoError(t, err, args)
		if len(want.Set) == 0 {
			require.Empty(t, got.Set, args)
			got.Set, want.Set = nil, nil
		}
		require.EqualExportedValues(t, want, got, args)
	}
}

// TestRunRefuses: what is wrong on the command line is named, with what to do, and nothing is started or printed for programs to read.
func TestRunRefuses(t *testing.T) {
	t.Parallel()
	for args, want := range map[string][]string{
		"sell":                               {`no command "sell"`},
		"serve --colour":                     {"colour"},
		"--colour":                           {"colour"},
		"serve now":                          {`unexpected "now"`, "petstore serve -h"},
		"serve --ports 8080":                 {"--ports", "free", "--port-base"},
		"serve --port-base x":                {"port-base", "x"},
		"serve --data d --env servers":       {"--data", "--env embedded"},
		"serve --env moon":                   {"moon"},
		"serve --services till":              {"till", "catalog"},
		"serve --set pricing.tax_rat=1":      {"pricing.tax_rat", "tax_rate"},
		"serve --set pricing.tax_rate=lots":  {"pricing.tax_rate", "override"},
		"serve --fault saga.crash=x":         {"fault.saga.crash"},
		"serve --config " + "there/is/none":  {"there/is/none", "base.yaml"},
		"serve --env prod":                   {"db.dsn", "kafka.brokers", "redis.addr", "auth.client_secret", "auth.issuer"},
		"routes extra":                       {`unexpected "extra"`},
		"token --issuer http://127.0.0.1:1/": {"127.0.0.1:1"},
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			err := run(t.Context(), strings.Fields(args), &out, &errs)
			for _, words := range want {
				require.ErrorContains(t, err, words)
			}
			require.NotContains(t, err.Error(), "dig.", "how the parts were put together is no help")
			require.Empty(t, out.String())
		})
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"help", "-h", "--help"} {
		var out, errs bytes.Buffer
		err := run(t.Context(), []string{args}, &out, &errs)
		if err != nil {
			require.ErrorIs(t, err, flag.ErrHelp)
		}
		for _, c := range commands() {
			require.Contains(t, out.String(), "petstore "+c.name)
		}
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"routes"}, &out, &errs))
	for _, line := range []string{"/api/v1/orders", "/api/v1/pets", "/api/v1/ledger/{orderId}", "role"} {
		require.Contains(t, out.String(), line)
	}
}

func TestWiringIsComplete(t *testing.T) {
	t.Parallel()
	require.NoError(t, fx.ValidateApp(wiring(t.Context(), shop.Options{})))
}

// TestWiring starts, asks and stops the shop as serve does.
func TestWiring(t *testing.T) {
	t.Parallel()
	var s *shop.Shop
	opts := shop.Options{FreePorts: true, LogWriter: io.Discard, Services: []string{"issuer", "catalog"}}
	app := fxtest.New(t, wiring(t.Context(), opts), fx.Populate(&s))
	app.RequireStart()
	url, err := s.URL("catalog")
	require.NoError(t, err)
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url + "/readyz")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	app.RequireStop()
	_, err = client.Get(url + "/readyz")
	require.Error(t, err, "nobody listens any more")
}
