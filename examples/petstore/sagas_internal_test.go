package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/marty-framework/mmf/examples/petstore/internal/demo"
	"github.com/marty-framework/mmf/examples/petstore/internal/shop"
)

// TestSagaCommands: a purchase whose payment service is away is found, paused, resumed and ended from the command line.
func TestSagaCommands(t *testing.T) {
	t.Parallel()
	var s *shop.Shop
	opts := shop.Options{FreePorts: true, LogWriter: io.Discard, Services: []string{"issuer", "catalog", "order"}}
	app := fxtest.New(t, wiring(t.Context(), opts), fx.Populate(&s))
	app.RequireStart()
	defer app.RequireStop()
	url, err := s.URL("order")
	require.NoError(t, err)
	issuer, err := s.URL("issuer")
	require.NoError(t, err)
	token, err := demo.Token(t.Context(), issuer, "alice")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/api/v1/orders",
			strings.NewReader(`{"petId":"goldfish-004","paymentMethod":"pm_visa"}`))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", "1")
		resp, err := (&http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusAccepted
	}, time.Minute, 50*time.Millisecond)
	petstore := func(line string) (string, error) {
		var out, errs bytes.Buffer
		args := append(strings.Fields(line), "--url", url, "--issuer", issuer)
		err := run(t.Context(), append([]string{"saga"}, args...), &out, &errs)
		return out.String(), err
	}
	out, err := petstore("list --status live --where customer=alice")
	require.NoError(t, err)
	require.Contains(t, out, "customer=alice pet=goldfish-004")
	id := ""
	for word := range strings.FieldsSeq(out) {
		if strings.HasPrefix(word, "ord-") {
			id = word
		}
	}
	out, err = petstore("pause --where customer=alice --dry-run --reason look")
	require.NoError(t, err)
	require.Contains(t, out, "would apply to 1")
	out, err = petstore("pause --where customer=alice --reason look")
	require.NoError(t, err)
	require.Contains(t, out, "applied to 1")
	out, err = petstore("show " + id)
	require.NoError(t, err)
	require.Contains(t, out, "PAUSED")
	_, err = petstore(fmt.Sprintf("pause %s --reason again", id))
	require.ErrorContains(t, err, "it is paused already")
	out, err = petstore("list --status paused --json")
	require.NoError(t, err)
	require.Contains(t, out, `"state": "paused"`)
	for line, want := range map[string]string{
		"list --status stuck":                      `Not understood: invalid search: there is no state "stuck".`,
		"list --after nothing":                     "begin without one",
		"show nope":                                "There is no such saga.",
		"dance":                                    "there is: list, show, retry",
		"retry nope":                               "needs --reason",
		"skip nope --reason x":                     "needs --step",
		"fork nope --reason x --step pay":          "--as",
		"resolve nope --step s --result pay-1":     "needs --reason",
		"resolve n --step s --reason x --result {": "is no JSON",
	} {
		_, err = petstore(line)
		require.ErrorContains(t, err, want, line)
	}
	out, err = petstore(fmt.Sprintf("terminate %s --reason enough", id))
	require.NoError(t, err)
	require.Contains(t, out, "TERMINATED")
	require.Regexp(t, `terminated +- +\S+ +admin +enough`, out)
	_, err = petstore(fmt.Sprintf("fork %s --step nope --as f --reason again", id))
	require.ErrorContains(t, err, "no such step")
	_, err = petstore("terminate --reason enough")
	require.ErrorContains(t, err, "needs the saga's id, or --status")
	_, err = petstore("nonsense")
	require.ErrorContains(t, err, "there is: list")
}
