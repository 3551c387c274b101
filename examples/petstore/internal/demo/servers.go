package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/marty-framework/mmf/data/datapg"
	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
)

// cleanServers removes what this run left on the servers: topics, consumer groups and databases under its own prefixes. What it left
// in Redis expires.
func (l *Lab) cleanServers() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return errors.Join(l.dropTopics(ctx), l.dropDatabases(ctx))
}

func (l *Lab) dropTopics(ctx context.Context) error {
	var brokers []string
	for _, s := range l.all {
		brokers = s.Kafka.Brokers
	}
	if len(brokers) == 0 {
		return nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	topics, err := admin.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("clean up Kafka: %w", err)
	}
	groups, err := admin.ListGroups(ctx)
	if err != nil {
		return fmt.Errorf("clean up Kafka: %w", err)
	}
	if ours := slices.DeleteFunc(groups.Groups(), l.foreign); len(ours) > 0 {
		_, err = admin.DeleteGroups(ctx, ours...)
	}
	if ours := slices.DeleteFunc(topics.Names(), l.foreign); len(ours) > 0 {
		_, topicsErr := admin.DeleteTopics(ctx, ours...)
		err = errors.Join(err, topicsErr)
	}
	return err
}

func (l *Lab) dropDatabases(ctx context.Context) error {
	dsn := os.Getenv(platform.EnvPrefix + "DB_DSN")
	if dsn == "" {
		return nil // the settings came from elsewhere, and so must the cleaning
	}
	db, err := datapg.Open(ctx, datapg.Config{DSN: dsn, MaxConns: 2})
	if err != nil {
		return fmt.Errorf("clean up Postgres: %w", err)
	}
	defer func() { _ = db.Close() }()
	var errs []error
	for _, prefix := range l.used {
		for _, service := range platform.Services() {
			// The names are made of letters, digits and underscores only: see place.
			_, err := db.Exec(ctx, "drop database if exists "+prefix+service+" with (force)")
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (l *Lab) foreign(name string) bool {
	return !slices.ContainsFunc(l.used, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}
