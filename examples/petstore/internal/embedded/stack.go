package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/twmb/franz-go/pkg/kfake"
)

// Stack is the running parts. Close it after everything that uses them.
type Stack struct {
	// Kafka and Redis are addresses on loopback, Dir is the data folder.
	Kafka []string
	Redis string
	Dir   string

	folder *folder
	broker *kfake.Cluster
	redis  *miniredis.Miniredis
	stop   chan struct{}
	ticker sync.WaitGroup
}

// Start opens the data folder and starts the parts. An empty dir means a temporary folder that Close removes. Errors match
// [ErrNewer] and [ErrInUse].
func Start(dir string) (_ *Stack, err error) {
	s := &Stack{stop: make(chan struct{})}
	if s.folder, err = openFolder(dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	s.Dir = s.folder.dir
	if err := os.MkdirAll(filepath.Join(s.Dir, "db"), 0o750); err != nil {
		return nil, err
	}
	// Topics are created by the services: what the broker creates by itself is gone after a kill.
	s.broker, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(filepath.Join(s.Dir, "kafka")), kfake.SyncWrites())
	if err != nil {
		return nil, fmt.Errorf("embedded Kafka: %w", err)
	}
	s.Kafka = s.broker.ListenAddrs()
	s.redis = miniredis.NewMiniRedis()
	if err := s.redis.Start(); err != nil {
		return nil, fmt.Errorf("embedded Redis: %w", err)
	}
	s.Redis = s.redis.Addr()
	s.ticker.Go(s.tick)
	return s, nil
}

// tick lets time pass in Redis, which does not move by itself there: without it no key would ever expire.
func (s *Stack) tick() {
	const step = 100 * time.Millisecond
	t := time.NewTicker(step)
	defer t.Stop()
	last := time.Now()
	for {
		select {
		case now := <-t.C:
			s.redis.FastForward(now.Sub(last))
			last = now
		case <-s.stop:
			return
		}
	}
}

// Settings are the key=value pairs that point the shop at the parts.
func (s *Stack) Settings() []string {
	return []string{
		"kafka.brokers=" + strings.Join(s.Kafka, ","),
		"redis.addr=" + s.Redis,
		"db.driver=sqlite",
		"db.dir=" + filepath.Join(s.Dir, "db"),
	}
}

// Close stops the parts and removes a temporary folder.
func (s *Stack) Close() error {
	close(s.stop)
	s.ticker.Wait()
	if s.redis != nil {
		s.redis.Close()
	}
	if s.broker != nil {
		s.broker.Close()
	}
	return s.folder.close()
}
