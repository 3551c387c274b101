package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commitTimeout bounds one commit; a commit that fails only makes more duplicates after a crash or a hand-over.
const commitTimeout = 5 * time.Second

// commitEvery commits what is done until ctx ends.
func (s *session) commitEvery(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.commit(nil)
		}
	}
}

// commit commits the watermarks of parts, or of all partitions owned when parts is nil. The token makes a release wait for the
// commit under way: without it, a commit with the offsets of before could arrive after the partition's next owner committed
// further, since brokers check the member but not what it owns.
func (s *session) commit(parts []*partition) {
	s.commits <- struct{}{}
	defer func() { <-s.commits }()
	if parts == nil {
		parts = s.all()
	}
	offsets := make(map[string]map[int32]kgo.EpochOffset)
	for _, p := range parts {
		p.reportLag()
		if o, ok := p.uncommitted(); ok {
			if offsets[p.topic] == nil {
				offsets[p.topic] = make(map[int32]kgo.EpochOffset)
			}
			offsets[p.topic][p.number] = o
		}
	}
	if len(offsets) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(s.base, commitTimeout)
	defer cancel()
	var err error
	s.client.CommitOffsetsSync(ctx, offsets,
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, e error) {
			err = commitError(answer, e)
		})
	if err != nil {
		s.cfg.Hooks.failed(s.cfg.Group, fmt.Errorf("kafka: commit offsets: %w", err))
		return
	}
	for _, p := range parts {
		if o, ok := offsets[p.topic][p.number]; ok {
			p.committed(o)
		}
	}
}

func commitError(answer *kmsg.OffsetCommitResponse, err error) error {
	if err != nil {
		return err
	}
	var errs []error
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			if e := kerr.ErrorForCode(p.ErrorCode); e != nil {
				errs = append(errs, fmt.Errorf("%s/%d: %w", t.Topic, p.Partition, e))
			}
		}
	}
	return errors.Join(errs...)
}
