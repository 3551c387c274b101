package kafka

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Whatever the order of completion and wherever offsets have gaps: the watermark is right behind the longest prefix of delivered
// records that are done, and it never moves back.
func TestWatermarkNeverPassesAnUnhandledRecord(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		type delivered struct {
			mark *markedRecord
			done bool
		}
		var (
			w                 watermark
			all               []delivered
			offset            = rapid.Int64Range(0, 1000).Draw(t, "first offset")
			records, bytes    int
			before, wantBytes int64
		)
		t.Repeat(map[string]func(*rapid.T){
			"deliver": func(t *rapid.T) {
				size := rapid.IntRange(0, 100).Draw(t, "size")
				all = append(all, delivered{mark: w.add(offset, 1, size)})
				offset += rapid.Int64Range(1, 5).Draw(t, "gap")
				records++
				bytes += size
			},
			"finish": func(t *rapid.T) {
				var open []int
				for i, d := range all {
					if !d.done {
						open = append(open, i)
					}
				}
				if len(open) == 0 {
					t.Skip("nothing is open")
				}
				i := rapid.SampledFrom(open).Draw(t, "which")
				all[i].done = true
				n, b := w.finish(all[i].mark)
				records -= n
				bytes -= b
			},
			"": func(t *rapid.T) {
				want, moved, above := int64(0), false, 0
				wantBytes = 0
				prefix := true
				for _, d := range all {
					if prefix = prefix && d.done; prefix {
						want, moved = d.mark.offset+1, true
						continue
					}
					above++
					wantBytes += int64(d.mark.size)
				}
				require.Equal(t, moved, w.moved)
				require.Equal(t, want, w.next.Offset)
				require.GreaterOrEqual(t, w.next.Offset, before)
				require.Equal(t, above, records, "what counts against the bound")
				require.Equal(t, wantBytes, int64(bytes))
				require.Len(t, w.pending, above)
				before = w.next.Offset
			},
		})
	})
}
