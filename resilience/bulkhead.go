package resilience

import (
	"context"
	"errors"
	"sync/atomic"

	failsafebulkhead "github.com/failsafe-go/failsafe-go/bulkhead"
)

// bulkhead bounds the attempts in flight; without a bound it only counts them.
type bulkhead struct {
	policy   string
	cfg      Bulkhead
	permits  failsafebulkhead.Bulkhead[any] // nil without a bound
	inFlight atomic.Int64
}

func newBulkhead(policy string, cfg Bulkhead) *bulkhead {
	b := &bulkhead{policy: policy, cfg: cfg}
	if cfg.Max > 0 {
		b.permits = failsafebulkhead.New[any](uint(cfg.Max))
	}
	return b
}

// acquire waits for a permit as long as the configuration and ctx allow. The error matches ErrRejected or is ctx's own.
func (b *bulkhead) acquire(ctx context.Context) error {
	if b.permits != nil {
		if err := b.permits.AcquirePermitWithMaxWait(ctx, b.cfg.Wait); errors.Is(err, failsafebulkhead.ErrFull) {
			return &Error{Policy: b.policy, Kind: ErrRejected}
		} else if err != nil {
			return err
		}
	}
	b.inFlight.Add(1)
	return nil
}

func (b *bulkhead) release() {
	b.inFlight.Add(-1)
	if b.permits != nil {
		b.permits.ReleasePermit()
	}
}
