package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Images for machines that have a container engine and none of the servers.
const (
	postgresImage = "postgres:17-alpine"
	redisImage    = "redis:7-alpine"
)

// engineAnswers says whether a daemon is there; the client alone is not enough.
func engineAnswers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, "docker", "info", "--format", "{{.ServerVersion}}").Run() == nil
}

func containPostgres(ctx context.Context, l *lab) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	password := rand.Text()
	id, err := l.contain(ctx, port, 5432, []string{"POSTGRES_USER=mmf", "POSTGRES_DB=postgres", "POSTGRES_PASSWORD=" + password},
		postgresImage, "-c", "max_connections=200", "-c", "wal_level=logical")
	if err != nil {
		return nil, err
	}
	// The image restarts its server once after creating the database; only the final one listens on TCP.
	err = l.untilContainer(ctx, id, func(ctx context.Context) error {
		return exec.CommandContext(ctx, "docker", "exec", id, "pg_isready", "-q", "-h", "127.0.0.1").Run()
	})
	if err != nil {
		return nil, err
	}
	return &server{
		version: programVersion(ctx, "docker", "exec", id, "postgres", "--version"), how: "image " + postgresImage,
		env: map[string]string{"MMF_TEST_POSTGRES_DSN": postgresURL(port, password)},
	}, nil
}

func containRedis(ctx context.Context, l *lab) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	id, err := l.contain(ctx, port, 6379, nil, redisImage, "redis-server", "--save", "", "--appendonly", "no")
	if err != nil {
		return nil, err
	}
	address := "127.0.0.1:" + strconv.Itoa(port)
	if err := l.untilContainer(ctx, id, pingRedis(address)); err != nil {
		return nil, err
	}
	return &server{
		version: programVersion(ctx, "docker", "exec", id, "redis-server", "--version"), how: "image " + redisImage,
		env: map[string]string{"MMF_TEST_REDIS_ADDR": address},
	}, nil
}

func containKafka(ctx context.Context, l *lab) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	image := "apache/kafka:" + kafkaVersion
	address := "127.0.0.1:" + strconv.Itoa(port)
	id, err := l.contain(ctx, port, 9092, []string{
		"KAFKA_PROCESS_ROLES=broker,controller", "KAFKA_NODE_ID=1", "KAFKA_CONTROLLER_QUORUM_VOTERS=1@localhost:9093",
		"KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER", "KAFKA_LISTENERS=PLAINTEXT://:9092,CONTROLLER://:9093",
		"KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://" + address, "KAFKA_AUTO_CREATE_TOPICS_ENABLE=false", "KAFKA_NUM_PARTITIONS=3",
		"KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR=1", "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR=1",
		"KAFKA_TRANSACTION_STATE_LOG_MIN_ISR=1", "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS=0", "KAFKA_HEAP_OPTS=-Xmx512m",
	}, image)
	if err != nil {
		return nil, err
	}
	if err := l.untilContainer(ctx, id, askKafka(address)); err != nil {
		return nil, err
	}
	return &server{version: kafkaVersion, how: "image " + image, env: map[string]string{"MMF_TEST_KAFKA_BROKERS": address}}, nil
}

// contain starts a container that is removed when it stops, and stops it at the end.
func (l *lab) contain(ctx context.Context, hostPort, port int, env []string, image string, command ...string) (string, error) {
	args := []string{"run", "-d", "--rm", "-p", fmt.Sprintf("127.0.0.1:%d:%d", hostPort, port)}
	for _, e := range env {
		args = append(args, "-e", e)
	}
	args = append(append(args, image), command...)
	ctx, cancel := context.WithTimeout(ctx, l.limit(5*time.Minute))
	defer cancel()
	out, err := exec.CommandContext(ctx, "docker", args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			out = exit.Stderr
		}
		return "", fmt.Errorf("docker run %s: %w: %s", image, err, bytes.TrimSpace(out))
	}
	id := strings.TrimSpace(string(out))
	l.atEnd(func() error { return exec.Command("docker", "rm", "-f", id).Run() })
	return id, nil
}

func (l *lab) untilContainer(ctx context.Context, id string, ready func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, l.limit(90*time.Second))
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			log, _ := exec.Command("docker", "logs", "--tail", "20", id).CombinedOutput()
			return fmt.Errorf("not ready in time (%w); its log ends:\n%s", err, log)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
