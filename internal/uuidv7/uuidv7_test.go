package uuidv7_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/internal/uuidv7"
)

func TestOrderAndRoundTrip(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var last uuidv7.ID
		for range 100 {
			id := uuidv7.New()
			require.Equal(t, byte(0x70), id[6]&0xf0)
			require.Equal(t, byte(0x80), id[8]&0xc0)
			require.Greater(t, id.String(), last.String())
			back, err := uuidv7.Parse(id.String())
			require.NoError(t, err)
			require.Equal(t, id, back)
			last = id
			time.Sleep(time.Millisecond)
		}
	})
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "x", "01890000-0000-7000-8000-00000000000g", "018900000000-7000-8000-000000000000-"} {
		_, err := uuidv7.Parse(s)
		require.Error(t, err, s)
	}
}
