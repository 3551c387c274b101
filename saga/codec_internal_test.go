package saga

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Payloads pass through the seam that seals and opens them, wherever the engine meets the store: a write that goes past it would
// stand readable in the database.
func TestPayloadsPassTheSeam(t *testing.T) {
	t.Parallel()
	past := regexp.MustCompile(`\bstore\.(Load|Mail|MailOf|Post|Append|AppendTx|Create)\(`)
	may := map[string]string{
		"sealing.go": "is the seam", "writer.go": "appends what was sealed when it was queued", "verbs.go": "Load: history hides what is sealed",
		"show.go": "Load: shows as history does",
	}
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	found := 0
	for _, f := range files {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		calls := past.FindAll(text, -1)
		found += len(calls)
		if may[f] == "" {
			require.Empty(t, calls, "%s: use Engine.journal", f)
		}
	}
	require.NotZero(t, found)
}

// reversed is a codec that binds nothing, for the form around it.
type reversed struct{}

func (reversed) Encode(plain []byte, _ PayloadInfo) ([]byte, error) {
	out := make([]byte, len(plain))
	for i, b := range plain {
		out[len(plain)-1-i] = b
	}
	return out, nil
}

func (r reversed) Decode(stored []byte, about PayloadInfo) ([]byte, error) {
	return r.Encode(stored, about)
}

func FuzzSeal(f *testing.F) {
	f.Add([]byte(`{"a":1}`), true)
	f.Add([]byte(`"`+strings.Repeat("long ", 1000)+`"`), false)
	f.Add([]byte("~not JSON"), false)
	f.Add(bytes.Repeat([]byte{0xff, 0, 7, 90}, 1000), true)
	f.Fuzz(func(t *testing.T, payload []byte, sensitive bool) {
		sealed, err := seal(reversed{}, sensitive, payload, PayloadInfo{})
		require.NoError(t, err)
		if sealed != nil {
			back, err := unseal(reversed{}, sealed, PayloadInfo{})
			require.NoError(t, err)
			require.True(t, bytes.Equal(payload, back))
		}
		mail := Mail{Payload: payload, sensitive: sensitive}
		sent, err := sealMail(reversed{}, mail)
		require.NoError(t, err)
		got := []Mail{sent}
		unsealMail(reversed{}, got)
		require.NoError(t, got[0].err)
		require.True(t, bytes.Equal(payload, got[0].Payload))
	})
}

// Whatever stands where a sealed payload should is an error at worst, and takes no more memory than it has bytes for.
func FuzzUnseal(f *testing.F) {
	for _, seed := range []string{"", "p", "pr", "prx", "pf", "pf\x05", "pf\xff\xff\xff\xff\x03abc", "c", "c1r", "x"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, sealed []byte) {
		if out, err := unseal(reversed{}, sealed, PayloadInfo{}); err == nil {
			require.Less(t, len(out), 1100*len(sealed)+1)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	line := `{"id":"0193ab","name":"Bubbles the goldfish","price_cents":2500,"currency":"USD","tags":["wet","small"]},`
	for name, n := range map[string]int{"1k": 10, "2k": 20, "8k": 80, "64k": 640} {
		payload := []byte("[" + strings.Repeat(line, n) + "0]")
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			size := len(payload)
			for b.Loop() {
				sealed, err := seal(nil, false, payload, PayloadInfo{})
				if err != nil {
					b.Fatal(err)
				}
				if sealed != nil {
					size = len(sealed)
				}
			}
			b.ReportMetric(float64(size), "stored-bytes")
		})
	}
}
