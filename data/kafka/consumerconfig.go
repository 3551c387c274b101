package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ConsumerConfig says what to consume and how patiently.
type ConsumerConfig struct {
	// Config says how to reach the brokers.
	Config
	// Group is the consumer group, usually the service's name: its members share the partitions. Required.
	Group string
	// Topics are the topics to consume. Required.
	Topics []string
	// InstanceID makes the member static: a restart under the same id within the session timeout causes no rebalance. Unique
	// per process. Default: dynamic membership.
	InstanceID string
	// StartAtEnd makes a new group begin with what comes next. Default: with the oldest record that is kept.
	StartAtEnd bool
	// Lanes is how many records of one partition are handled at once. Records of one key always share a lane and keep their
	// order. Default 1: the whole partition in order. At most 256.
	Lanes int
	// MaxAttempts is how often a record is tried before it goes to the dead-letter topic. Default 5.
	MaxAttempts int
	// FirstBackoff is the pause after the first failed attempt; it doubles up to MaxBackoff, and each pause is shortened at random by up
	// to half. Defaults 200 ms and 30 s.
	FirstBackoff, MaxBackoff time.Duration
	// HandlerTimeout bounds one attempt through its context. Default 30 s.
	HandlerTimeout time.Duration
	// DrainTimeout is how long handlers in flight may go on when their partition is taken away or Run ends; then their contexts
	// end, and one more second later they are left behind. Default 15 s; must be shorter than RebalanceTimeout by 15 s.
	DrainTimeout time.Duration
	// MaxBuffered and MaxBufferedBytes bound what one partition holds beyond its commit watermark, give or take one fetch, before
	// fetching pauses. Defaults 500 records and 8 MiB.
	MaxBuffered      int
	MaxBufferedBytes int
	// CommitInterval is how often offsets are committed. Default 1 s. A crash repeats what was handled since.
	CommitInterval time.Duration
	// SessionTimeout is how long a silent member stays in the group, RebalanceTimeout how long members may take to give up
	// partitions. Defaults 45 s and 60 s; the brokers have bounds of their own.
	SessionTimeout, RebalanceTimeout time.Duration
	// Extract puts the trace context of a record's headers into the handler's context. Optional.
	Extract func(ctx context.Context, headers map[string]string) context.Context
	// Hooks observe. Optional.
	Hooks Hooks
}

func (c ConsumerConfig) withDefaults() ConsumerConfig {
	c.Config = c.Config.withDefaults()
	setDefault(&c.Lanes, 1)
	setDefault(&c.MaxAttempts, 5)
	setDefault(&c.FirstBackoff, 200*time.Millisecond)
	setDefault(&c.MaxBackoff, max(30*time.Second, c.FirstBackoff))
	setDefault(&c.HandlerTimeout, 30*time.Second)
	setDefault(&c.DrainTimeout, 15*time.Second)
	setDefault(&c.MaxBuffered, 500)
	setDefault(&c.MaxBufferedBytes, 8<<20)
	setDefault(&c.CommitInterval, time.Second)
	setDefault(&c.SessionTimeout, 45*time.Second)
	setDefault(&c.RebalanceTimeout, 60*time.Second)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c ConsumerConfig) validate() error {
	errs := []error{c.Config.validate(), validateName("group", c.Group)}
	if len(c.Topics) == 0 {
		errs = append(errs, errors.New("kafka: Topics is empty: name at least one topic to consume"))
	}
	seen := make(map[string]bool, len(c.Topics))
	for _, t := range c.Topics {
		errs = append(errs, validateName("topic", c.Prefix+t+DLQSuffix))
		if seen[t] {
			errs = append(errs, fmt.Errorf("kafka: topic %q is listed twice", t))
		}
		seen[t] = true
	}
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("kafka: "+format, args...))
		}
	}
	check(c.Lanes >= 1 && c.Lanes <= 256, "Lanes is %d: use 1 to 256", c.Lanes)
	check(c.MaxAttempts >= 1, "MaxAttempts is %d: use at least 1", c.MaxAttempts)
	check(c.FirstBackoff > 0, "FirstBackoff is %v: it must be positive", c.FirstBackoff)
	check(c.MaxBackoff >= c.FirstBackoff, "MaxBackoff is %v, less than FirstBackoff %v", c.MaxBackoff, c.FirstBackoff)
	check(c.HandlerTimeout > 0, "HandlerTimeout is %v: it must be positive", c.HandlerTimeout)
	check(c.MaxBuffered >= 1, "MaxBuffered is %d: use at least 1", c.MaxBuffered)
	check(c.MaxBufferedBytes >= 1, "MaxBufferedBytes is %d: use at least 1", c.MaxBufferedBytes)
	check(c.CommitInterval > 0, "CommitInterval is %v: it must be positive", c.CommitInterval)
	check(c.SessionTimeout > 0, "SessionTimeout is %v: it must be positive", c.SessionTimeout)
	check(c.DrainTimeout > 0, "DrainTimeout is %v: it must be positive", c.DrainTimeout)
	check(c.RebalanceTimeout >= c.DrainTimeout+15*time.Second,
		"RebalanceTimeout is %v: it must be 15s longer than DrainTimeout (%v), or the group expels a member that drains",
		c.RebalanceTimeout, c.DrainTimeout)
	return errors.Join(errs...)
}

// groupOptions turn everything automatic off that would commit or hand over on its own.
func (c ConsumerConfig) groupOptions() []kgo.Opt {
	topics := make([]string, len(c.Topics))
	for i, t := range c.Topics {
		topics[i] = c.Prefix + t
	}
	start := kgo.NewOffset().AtStart()
	if c.StartAtEnd {
		start = kgo.NewOffset().AtEnd()
	}
	opts := []kgo.Opt{
		kgo.ConsumerGroup(c.Prefix + c.Group),
		kgo.ConsumeTopics(topics...),
		kgo.ConsumeStartOffset(start),
		kgo.Balancers(kgo.CooperativeStickyBalancer()), // a rebalance stops only the partitions that move
		kgo.SessionTimeout(c.SessionTimeout),
		kgo.RebalanceTimeout(c.RebalanceTimeout),
		kgo.HeartbeatInterval(max(c.SessionTimeout/15, 100*time.Millisecond)),
		kgo.DisableAutoCommit(),
		// Polling and handing over exclude each other, so records of a partition that was taken away, and perhaps given back, can
		// never reach its new worker out of order.
		kgo.BlockRebalanceOnPoll(),
		kgo.FetchMaxPartitionBytes(int32(min(c.MaxBufferedBytes, 1<<20))),
		// The dead-letter topic gets what its source topic could hold: the broker's limit counts, not the client's.
		kgo.ProducerBatchMaxBytes(64 << 20),
		kgo.BrokerMaxWriteBytes(100 << 20),
	}
	if c.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(c.InstanceID))
	}
	return opts
}
