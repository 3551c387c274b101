package oidc

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What decodeObject accepts, encoding/json reads alike; what it refuses beyond that has one of the four reasons.
func FuzzDecodeObject(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":[true,null,{"c":"\u00e9"}],"d":1e400}`))
	f.Add([]byte(`{"a":1,"a":2}`))
	f.Add([]byte(`{"a":1,"A":2}`))
	f.Add([]byte(`{"a":{"b":1,"b":1}}`))
	f.Add([]byte(`{"a":1}{}`))
	f.Add([]byte(`[{}]`))
	f.Add([]byte(strings.Repeat(`{"a":`, 20) + "1" + strings.Repeat("}", 20)))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := decodeObject(data)
		if err != nil {
			return
		}
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		var want map[string]any
		require.NoError(t, d.Decode(&want))
		require.Equal(t, want, got)
	})
}

func TestDecodeObjectDepth(t *testing.T) {
	t.Parallel()
	nested := func(n int) []byte { return []byte(strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n)) }
	_, err := decodeObject(nested(maxDepth))
	require.NoError(t, err)
	_, err = decodeObject(nested(maxDepth + 1))
	require.ErrorIs(t, err, errDepth)
	_, err = decodeObject([]byte(`{"a":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + "}"))
	require.ErrorIs(t, err, errDepth)
}
