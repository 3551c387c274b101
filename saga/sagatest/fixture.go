package sagatest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/internal/uuidv7"
	"github.com/marty-framework/mmf/saga"
)

const (
	ttl   = 10 * time.Second
	brief = 200 * time.Millisecond
)

type fixture struct {
	*testing.T
	store saga.Store
	kind  string
}

func (f *fixture) register() {
	f.Helper()
	require.NoError(f, f.store.Register(f.Context(), []saga.DefInfo{{Kind: f.kind, Fingerprint: "a"}}))
}

func (f *fixture) join(name string) (saga.Lease, []saga.Lane) {
	f.Helper()
	return f.joinFor(name, ttl)
}

func (f *fixture) joinFor(name string, ttl time.Duration) (saga.Lease, []saga.Lane) {
	f.Helper()
	f.register()
	l, err := f.store.Join(f.Context(), name, []string{f.kind}, ttl)
	require.NoError(f, err)
	lanes, _, err := f.store.Claim(f.Context(), l)
	require.NoError(f, err)
	return l, lanes
}

func (f *fixture) newSaga(id string, lane saga.Lane) saga.Write {
	return saga.Write{
		Ref:       saga.Ref{UID: saga.UID(uuidv7.New()), ID: saga.ID(id), Kind: lane.Kind, Lane: lane.ID, InputHash: "hash"},
		LaneEpoch: lane.Epoch, New: true,
		Records: []saga.Record{{Seq: 1, Kind: saga.Started, At: time.UnixMicro(1_700_000_000_000_000).UTC(), Payload: []byte(`{"n":1}`)}},
	}
}

func (f *fixture) then(w saga.Write, recs ...saga.Record) saga.Write {
	w.New = false
	w.Records = recs
	return w
}

func (f *fixture) append(l saga.Lease, writes ...saga.Write) []error {
	f.Helper()
	results, err := f.store.Append(f.Context(), l, writes)
	require.NoError(f, err)
	require.Len(f, results, len(writes))
	return results
}

func (f *fixture) records(uid saga.UID) []saga.Record {
	f.Helper()
	h, err := f.store.Load(f.Context(), []saga.UID{uid})
	require.NoError(f, err)
	if len(h) == 0 {
		return nil
	}
	return h[0].Records
}

func done(seq int64, node string) saga.Record {
	return saga.Record{Seq: seq, Kind: saga.Done, Node: node, At: time.UnixMicro(1_700_000_000_000_001).UTC(), Payload: []byte(`"ok"`)}
}

func ids(lanes []saga.Lane) []int64 {
	out := make([]int64, len(lanes))
	for i, l := range lanes {
		out[i] = l.ID
	}
	return out
}
