package sagatest

import (
	"context"
	"time"

	"github.com/marty-framework/mmf/saga"
)

// seen notes which definitions the live nodes run.
func (s *memory) noteSeen(now time.Time) {
	for _, m := range s.nodes {
		for _, kind := range m.kinds {
			s.seen[kind] = now
		}
	}
}

func (s *memory) Strays(ctx context.Context, grace time.Duration, mark bool, limit int) (marked map[string]int, more bool, err error) {
	marked = map[string]int{}
	return marked, more, s.write(ctx, func() error {
		since := time.Now().Add(-max(grace, time.Minute))
		for _, k := range s.sagas {
			missing := s.seen[k.ref.Kind].Before(since)
			switch {
			case k.stray && !missing:
				k.stray, k.standing = false, saga.Standing{}
			case mark && missing && k.live && k.standing == (saga.Standing{}) && len(marked) < limit:
				k.stray, k.standing = true, saga.Standing{
					State: saga.StateParked, Reason: saga.StrayReason(k.ref.Kind, grace), Since: time.Now(),
				}
				marked[k.ref.Kind]++
			}
		}
		return nil
	})
}
