package saga

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTimersForgetNobody plays a worker's timers against a model of the store: sagas fall asleep and wake, also while a page
// is being read, lanes change, and every saga that sleeps must be woken in its turn. LIVE-7.
func TestTimersForgetNobody(t *testing.T) {
	t.Parallel()
	for range 4 {
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 2))
		tm := newTimers()
		rows := map[UID]Timer{} // the store
		base := time.Unix(1_700_000_000, 0)
		now, claims, lanes := base, 0, []int64{1, 2}
		due := func() time.Time { return now.Add(time.Duration(rng.IntN(5000)) * time.Millisecond) }
		sleep := func(uid UID) {
			n := Timer{Ref: Ref{UID: uid, Lane: lanes[rng.IntN(len(lanes))]}, Due: due()}
			rows[uid] = n
			tm.note(uid, n.Ref.Lane, n.Due)
		}
		uid := func() (u UID) { u[0], u[1] = byte(rng.IntN(40)), byte(rng.IntN(200)); return u }
		page := func(after Timer) (out []Timer) {
			for _, n := range rows {
				if compareTimers(n, after) > 0 && n.Due.Before(Forever) && slices.Contains(lanes, n.Ref.Lane) {
					out = append(out, n)
				}
			}
			slices.SortFunc(out, compareTimers)
			return out[:min(len(out), timerPage)]
		}
		for range 6000 { // a store that was full before
			u := uid()
			rows[u] = Timer{Ref: Ref{UID: u, Lane: 1 + int64(rng.IntN(2))}, Due: due()}
		}
		for step := range 400 {
			switch k := rng.IntN(20); {
			case k < 10:
				sleep(uid())
			case k < 13:
				u := uid()
				delete(rows, u)
				tm.forget(u)
			case k == 13 && step%50 == 0:
				claims++
			default:
				now = now.Add(time.Duration(rng.IntN(40)) * time.Millisecond)
			}
			if after, ok := tm.begin(lanes, claims); ok {
				var read []Timer
				if rng.IntN(2) == 0 {
					read = page(after)
					sleep(uid())
				} else {
					sleep(uid())
					read = page(after)
				}
				tm.fill(read, nil)
			}
			for {
				s, _ := tm.pop(now)
				if s == nil {
					break
				}
				if row, ok := rows[s.uid]; ok && !row.Due.After(now) {
					delete(rows, s.uid)
				}
			}
			if _, more := tm.begin(lanes, claims); !more { // nothing is to be read
				for _, row := range rows {
					require.True(t, row.Due.After(now), "seed %d: %v is overdue", seed, row)
				}
			} else {
				tm.fill(nil, ErrNotFound) // as if it failed
			}
			require.LessOrEqual(t, len(tm.heap), maxTimers)
			require.Len(t, tm.at, len(tm.heap))
		}
	}
}
