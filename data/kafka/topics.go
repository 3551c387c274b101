package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// DLQSuffix is what a topic's dead-letter topic has after the topic's own name.
const DLQSuffix = ".dlq"

// Topic describes a topic that [Client.EnsureTopics] creates.
type Topic struct {
	// Name is the topic's name without [Config.Prefix]. Required.
	Name string
	// Partitions is how many partitions it gets. It bounds how many consumers of one group work in parallel, and changing it later
	// moves keys to other partitions. Default 3.
	Partitions int32
	// Replication is how many brokers keep a copy. Default: the cluster's own default.
	Replication int16
	// Configs are topic settings such as "retention.ms".
	Configs map[string]string
	// DLQ also creates the dead-letter topic, with the same settings but one partition.
	DLQ bool
}

// ErrTopicMismatch says that a topic exists with fewer partitions than asked for. Adding partitions to a topic in use moves
// keys to other partitions and so breaks their order; that is a decision for people.
var ErrTopicMismatch = errors.New("kafka: topic exists with fewer partitions")

// EnsureTopics creates the topics that do not exist and leaves alone those that do, so every service may call it at
// start-up. Explicit creation matters: topics that brokers create by themselves have settings nobody chose. The error
// joins all that failed; it matches [ErrTopicMismatch] when an existing topic is too narrow.
func (c *Client) EnsureTopics(ctx context.Context, topics ...Topic) error {
	admin := kadm.NewClient(c.client)
	var errs []error
	for _, t := range topics {
		if t.Partitions == 0 {
			t.Partitions = 3
		}
		if t.Replication == 0 {
			t.Replication = -1
		}
		if err := c.ensureTopic(ctx, admin, t); err != nil {
			errs = append(errs, err)
		}
		if t.DLQ {
			t.Name, t.Partitions = t.Name+DLQSuffix, 1
			if err := c.ensureTopic(ctx, admin, t); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func (c *Client) ensureTopic(ctx context.Context, admin *kadm.Client, t Topic) error {
	name := c.cfg.Prefix + t.Name
	if err := validateName("topic", name); err != nil {
		return err
	}
	if t.Partitions < 1 || t.Replication < -1 {
		return fmt.Errorf("kafka: topic %q: Partitions must be at least 1 and Replication not negative", t.Name)
	}
	var configs map[string]*string
	for k, v := range t.Configs {
		if configs == nil {
			configs = make(map[string]*string, len(t.Configs))
		}
		configs[k] = &v
	}
	answer, err := admin.CreateTopic(ctx, t.Partitions, t.Replication, configs, name)
	if err == nil {
		err = answer.Err
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.TopicAlreadyExists):
		return checkPartitions(ctx, admin, t, name)
	default:
		return fmt.Errorf("kafka: create topic %q: %w", name, err)
	}
}

func checkPartitions(ctx context.Context, admin *kadm.Client, t Topic, name string) error {
	details, err := admin.ListTopics(ctx, name)
	if err != nil {
		return fmt.Errorf("kafka: describe topic %q: %w", name, err)
	}
	d, ok := details[name]
	if !ok || errors.Is(d.Err, kerr.UnknownTopicOrPartition) {
		return nil // it exists, but this broker has not heard of it yet
	}
	if d.Err != nil {
		return fmt.Errorf("kafka: describe topic %q: %w", name, d.Err)
	}
	if got := len(d.Partitions); got < int(t.Partitions) {
		return fmt.Errorf("%w: %q has %d, asked for %d", ErrTopicMismatch, name, got, t.Partitions)
	}
	return nil
}
