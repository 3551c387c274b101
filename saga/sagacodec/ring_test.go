package sagacodec_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagacodec"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, sagacodec.KeySize) }

func ring(t testing.TB, current string, keys map[string][]byte) *sagacodec.Ring {
	t.Helper()
	r, err := sagacodec.New(sagacodec.Config{Current: current, Keys: keys})
	require.NoError(t, err)
	return r
}

var here = saga.PayloadInfo{Saga: "pay@1", UID: saga.UID{1}, Seq: 3, Kind: "done", Step: "charge"}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	r := ring(t, "a", map[string][]byte{"a": key(1)})
	for _, plain := range []string{"", "x", `{"card":"4111111111111111"}`, string(bytes.Repeat([]byte("z"), 1<<20))} {
		stored, err := r.Encode([]byte(plain), here)
		require.NoError(t, err)
		again, err := r.Encode([]byte(plain), here)
		require.NoError(t, err)
		require.NotEqual(t, stored, again, "the same payload twice must not look the same")
		if len(plain) > 1 {
			require.NotContains(t, string(stored), plain)
		}
		back, err := r.Decode(stored, here)
		require.NoError(t, err)
		require.Equal(t, plain, string(back))
	}
}

// A ciphertext that was moved anywhere else is refused, and so is one of which any bit was changed.
func TestMovedOrChangedIsRefused(t *testing.T) {
	t.Parallel()
	r := ring(t, "a", map[string][]byte{"a": key(1)})
	stored, err := r.Encode([]byte(`{"card":"4111"}`), here)
	require.NoError(t, err)
	for name, move := range map[string]func(*saga.PayloadInfo){
		"definition": func(p *saga.PayloadInfo) { p.Saga = "pay@2" },
		"saga":       func(p *saga.PayloadInfo) { p.UID[15] = 9 },
		"record":     func(p *saga.PayloadInfo) { p.Seq++ },
		"kind":       func(p *saga.PayloadInfo) { p.Kind = "started" },
		"step":       func(p *saga.PayloadInfo) { p.Step = "refund" },
		"shifted":    func(p *saga.PayloadInfo) { p.Kind, p.Step = "donec", "harge" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			there := here
			move(&there)
			_, err := r.Decode(stored, there)
			require.ErrorIs(t, err, sagacodec.ErrRefused)
		})
	}
	for i := range stored {
		changed := slices.Clone(stored)
		changed[i] ^= 1
		_, err := r.Decode(changed, here)
		require.Error(t, err, "byte %d", i)
		_, err = r.Decode(stored[:i], here)
		require.Error(t, err, "cut off at %d", i)
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	r := ring(t, "old", map[string][]byte{"old": key(1)})
	written, err := r.Encode([]byte("x"), here)
	require.NoError(t, err)
	require.NoError(t, r.Replace(sagacodec.Config{Current: "new", Keys: map[string][]byte{"old": key(1), "new": key(2)}}))
	plain, err := r.Decode(written, here)
	require.NoError(t, err)
	require.Equal(t, "x", string(plain))
	later, err := r.Encode([]byte("y"), here)
	require.NoError(t, err)
	require.NoError(t, r.Replace(sagacodec.Config{Current: "new", Keys: map[string][]byte{"new": key(2)}}))
	_, err = r.Decode(later, here)
	require.NoError(t, err)
	_, err = r.Decode(written, here)
	var gone *sagacodec.UnknownKeyError
	require.ErrorAs(t, err, &gone)
	require.Equal(t, "old", gone.ID)
}

func TestRefusesBadKeys(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]sagacodec.Config{
		"nothing":        {},
		"no current":     {Current: "a", Keys: map[string][]byte{"b": key(1)}},
		"a short key":    {Current: "a", Keys: map[string][]byte{"a": []byte("secret-but-short")}},
		"an empty id":    {Current: "", Keys: map[string][]byte{"": key(1)}},
		"an id too long": {Current: "a", Keys: map[string][]byte{"a": key(1), string(bytes.Repeat([]byte("i"), 65)): key(2)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := sagacodec.New(cfg)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "secret")
		})
	}
	r := ring(t, "a", map[string][]byte{"a": key(1)})
	require.Error(t, r.Replace(sagacodec.Config{}))
	_, err := r.Encode([]byte("x"), here)
	require.NoError(t, err, "the ring stays as it was")
}

func FuzzDecode(f *testing.F) {
	r, err := sagacodec.New(sagacodec.Config{Current: "a", Keys: map[string][]byte{"a": key(1)}})
	require.NoError(f, err)
	good, err := r.Encode([]byte(`{"a":1}`), here)
	require.NoError(f, err)
	for _, seed := range [][]byte{nil, {1}, {1, 200}, {1, 1, 'a'}, {2, 1, 'a'}, good} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, stored []byte) {
		plain, err := r.Decode(stored, here)
		if err == nil && string(plain) != `{"a":1}` {
			t.Fatalf("what nobody encrypted decrypts to %q", plain)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	r, payload := ring(b, "a", map[string][]byte{"a": key(1)}), bytes.Repeat([]byte("x"), 200)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Encode(payload, here); err != nil {
			b.Fatal(err)
		}
	}
}
