package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ErrRunning is what [Consumer.Run] returns while another Run of the same consumer has not returned.
var ErrRunning = errors.New("kafka: the consumer runs already")

// Consumer handles the records of some topics as a member of a group. One Consumer may run once at a time; its methods are safe for
// concurrent use.
type Consumer struct {
	cfg     ConsumerConfig
	handler Handler
	running atomic.Bool
}

// NewConsumer validates cfg and starts nothing. The error joins everything that is wrong.
func NewConsumer(cfg ConsumerConfig, handler Handler) (*Consumer, error) {
	cfg = cfg.withDefaults()
	err := cfg.validate()
	if handler == nil {
		err = errors.Join(err, errors.New("kafka: a consumer needs a handler"))
	}
	if err != nil {
		return nil, err
	}
	c := &Consumer{cfg: cfg, handler: handler}
	if err := kgo.ValidateOpts(c.options(newSession(context.Background(), cfg, handler))...); err != nil {
		return nil, fmt.Errorf("kafka: consumer options: %w", err)
	}
	return c, nil
}

func (c *Consumer) options(s *session) []kgo.Opt {
	opts := append(c.cfg.Config.options(), c.cfg.producerOptions()...)
	opts = append(opts, c.cfg.groupOptions()...)
	opts = append(opts,
		kgo.OnPartitionsAssigned(s.onAssigned), kgo.OnPartitionsRevoked(s.onRevoked), kgo.OnPartitionsLost(s.onLost))
	return append(opts, c.cfg.Options...)
}

// Run joins the group and handles records until ctx ends. Then it lets handlers in flight finish within
// [ConsumerConfig.DrainTimeout], commits, leaves the group and returns nil. It rides out brokers that are away; what it
// survives goes to [Hooks.Failed]. An error is [ErrRunning], a set-up that cannot work, or handlers that were left behind
// because they ignored the end of their context. Run may be called again after it returned.
func (c *Consumer) Run(ctx context.Context) error {
	if !c.running.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer c.running.Store(false)

	// Handlers outlive ctx, so that what has begun can finish; the session ends their contexts itself.
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s := newSession(base, c.cfg, c.handler)
	client, err := kgo.NewClient(c.options(s)...)
	if err != nil {
		return fmt.Errorf("kafka: set up the consumer: %w", err)
	}
	s.start(client)

	committer, stopCommitter := context.WithCancel(base)
	committed := make(chan struct{})
	go func() {
		defer close(committed)
		s.commitEvery(committer, c.cfg.CommitInterval)
	}()

	err = s.poll(ctx)

	stopCommitter()
	<-committed
	s.release("stopped", s.all(), releaseCommitting)
	client.CloseAllowingRebalance()
	// An assignment may have come in while the client was closing; nothing was fetched for it.
	s.release("stopped", s.all(), releaseAtOnce)
	if left := s.leftBehind(); len(left) > 0 {
		err = errors.Join(err, fmt.Errorf("kafka: handlers ignored the end of their context and were left behind: %s",
			strings.Join(left, ", ")))
	}
	return err
}

// poll hands fetched records to the partitions' workers until ctx ends.
func (s *session) poll(ctx context.Context) error {
	for ctx.Err() == nil {
		fetches := s.client.PollRecords(ctx, s.cfg.MaxBuffered)
		if fetches.IsClientClosed() {
			s.client.AllowRebalance()
			return errors.New("kafka: the consumer's client was closed by somebody else")
		}
		fetches.EachPartition(func(f kgo.FetchTopicPartition) {
			if len(f.Records) > 0 || f.HighWatermark > 0 {
				s.dispatch(f)
			}
		})
		s.client.AllowRebalance()
		failed := false
		fetches.EachError(func(topic string, partition int32, err error) {
			if ctx.Err() == nil {
				failed = true
				s.cfg.Hooks.failed(s.cfg.Group, fmt.Errorf("kafka: fetch %s/%d: %w", topic, partition, err))
			}
		})
		if failed && fetches.NumRecords() == 0 {
			sleep(ctx, 250*time.Millisecond) // an error that returns at once must not spin
		}
	}
	return nil
}

// sleep waits for d and reports whether ctx lasted as long.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
