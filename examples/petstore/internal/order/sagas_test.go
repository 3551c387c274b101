package order_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSagaAPI: admins find sagas, look into them and help them; whoever did so stands in the journal.
func TestSagaAPI(t *testing.T) {
	t.Parallel()
	r, h := newAPI(t)
	loseCommands(r, "schedule_delivery") // the saga stands still there
	_, body := call(t, h, "alice", "POST", "/api/v1/orders", goldfish, "Idempotency-Key", "k1")
	id, _ := body["id"].(string)
	require.Eventually(t, func() bool { return r.effects(id) == 2 }, 20*time.Second, 5*time.Millisecond)
	at := "/api/v1/sagas/" + id
	for _, path := range []string{"/api/v1/sagas", "/api/v1/sagas?status=live"} {
		resp, _ := call(t, h, "alice", "GET", path, "")
		require.Equal(t, 403, resp.StatusCode)
	}
	found := func(query string) int {
		resp, body := call(t, h, "admin", "GET", "/api/v1/sagas?"+query, "")
		require.Equal(t, 200, resp.StatusCode, body)
		list, _ := body["sagas"].([]any)
		return len(list)
	}
	require.Equal(t, 1, found("status=live&type=place_order&attr=customer=alice&attr=pet=goldfish-004"))
	require.Zero(t, found("attr=customer=bob"))
	require.Zero(t, found("olderThan=1h"))
	resp, _ := call(t, h, "admin", "GET", "/api/v1/sagas?olderThan=old", "")
	require.Equal(t, 400, resp.StatusCode)

	resp, _ = call(t, h, "admin", "POST", at+"/pause", `{}`)
	require.Equal(t, 422, resp.StatusCode, "say why")
	resp, body = call(t, h, "admin", "POST", at+"/pause", `{"reason":"have a look"}`)
	require.Equal(t, 200, resp.StatusCode, body)
	require.Equal(t, "paused", body["state"])
	require.Equal(t, 1, found("status=paused"))
	resp, body = call(t, h, "admin", "POST", at+"/skip", `{"reason":"x","step":"nope"}`)
	require.Equal(t, 422, resp.StatusCode)
	require.Contains(t, body["detail"], "no such step")
	resp, body = call(t, h, "admin", "POST", "/api/v1/sagas", `{"verb":"resume","reason":"seen","where":{"status":"paused"},"dryRun":true}`)
	require.Equal(t, 200, resp.StatusCode, body)
	require.EqualValues(t, 1, body["applied"])
	require.Equal(t, 1, found("status=paused"))
	_, body = call(t, h, "admin", "POST", "/api/v1/sagas", `{"verb":"resume","reason":"seen","where":{"status":"paused"}}`)
	require.EqualValues(t, 1, body["applied"], body)
	resp, body = call(t, h, "admin", "POST", at+"/skip", `{"reason":"the customer fetches it","step":"schedule_delivery"}`)
	require.Equal(t, 200, resp.StatusCode, body)
	_, err := r.settle(id)
	require.NoError(t, err)
	_, body = call(t, h, "admin", "GET", at, "")
	journal, _ := body["journal"].([]any)
	var did []any
	for _, entry := range journal {
		if e, _ := entry.(map[string]any); e["actor"] == "admin" {
			did = append(did, e["kind"])
		}
	}
	require.Equal(t, []any{"paused", "continued", "skipped"}, did)
	resp, body = call(t, h, "admin", "POST", at+"/fork", `{"reason":"again","step":"reserve_pet","as":"f"}`)
	require.Equal(t, 409, resp.StatusCode, body)
	require.Contains(t, body["detail"], "would run again")
}
