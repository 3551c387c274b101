package kafka

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// session is one Run of a consumer: the partitions it owns at the moment and what their workers share.
type session struct {
	cfg     ConsumerConfig
	handler Handler
	base    context.Context // of the handlers; outlives Run's own
	client  *kgo.Client
	dlq     *deadLetters
	started chan struct{} // closed when client is set: callbacks may come before the constructor has returned it
	commits chan struct{} // holds one token: commits exclude each other and the release of partitions

	mu    sync.Mutex // guards parts and left
	parts map[topicPartition]*partition
	left  []string
}

type topicPartition struct {
	topic     string // with the prefix
	partition int32
}

func newSession(base context.Context, cfg ConsumerConfig, h Handler) *session {
	return &session{
		cfg: cfg, handler: h, base: base,
		started: make(chan struct{}), commits: make(chan struct{}, 1), parts: make(map[topicPartition]*partition),
	}
}

func (s *session) start(client *kgo.Client) {
	s.client, s.dlq = client, newDeadLetters(client, s.cfg)
	close(s.started)
}

// all returns the partitions owned at the moment.
func (s *session) all() []*partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*partition, 0, len(s.parts))
	for _, p := range s.parts {
		out = append(out, p)
	}
	return out
}

func (s *session) dispatch(f kgo.FetchTopicPartition) {
	s.mu.Lock()
	p := s.parts[topicPartition{f.Topic, f.Partition}]
	s.mu.Unlock()
	if p != nil { // else it was given up meanwhile, and its next owner fetches the same again
		p.push(f.Records, f.HighWatermark)
	}
}

func (s *session) onAssigned(_ context.Context, client *kgo.Client, assigned map[string][]int32) {
	<-s.started
	if len(assigned) == 0 {
		return
	}
	began := time.Now()
	client.ResumeFetchPartitions(assigned) // a pause from an earlier ownership would last for ever
	s.mu.Lock()
	for topic, partitions := range assigned {
		for _, n := range partitions {
			s.parts[topicPartition{topic, n}] = newPartition(s, topic, n)
		}
	}
	s.mu.Unlock()
	s.cfg.Hooks.rebalanced(Rebalance{
		Group: s.cfg.Group, Kind: "assigned", Partitions: s.withoutPrefix(assigned), Drained: true, Duration: time.Since(began),
	})
}

func (s *session) onRevoked(_ context.Context, _ *kgo.Client, revoked map[string][]int32) {
	<-s.started
	s.release("revoked", s.pick(revoked), releaseCommitting)
}

func (s *session) onLost(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	<-s.started
	s.release("lost", s.pick(lost), releaseAtOnce)
}

func (s *session) pick(wanted map[string][]int32) []*partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*partition
	for topic, partitions := range wanted {
		for _, n := range partitions {
			if p := s.parts[topicPartition{topic, n}]; p != nil {
				out = append(out, p)
			}
		}
	}
	return out
}

func (s *session) withoutPrefix(m map[string][]int32) map[string][]int32 {
	out := make(map[string][]int32, len(m))
	for topic, partitions := range m {
		out[strings.TrimPrefix(topic, s.cfg.Prefix)] = partitions
	}
	return out
}

func (s *session) leftBehind() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left
}

type releaseMode int

const (
	// releaseCommitting lets handlers in flight finish and commits what is done: the partitions are still ours.
	releaseCommitting releaseMode = iota
	// releaseAtOnce ends the handlers' contexts and commits nothing: somebody else may own the partitions already.
	releaseAtOnce
)

// handlerGrace is what handlers get to notice that their context ended.
const handlerGrace = time.Second

// release gives partitions up. It returns only when their workers have stopped, or were left behind because handlers ignored
// their context; so when the group hands the partitions on, nothing of ours works on them.
func (s *session) release(kind string, parts []*partition, mode releaseMode) {
	if len(parts) == 0 {
		return
	}
	began := time.Now()
	released := make(map[string][]int32)
	s.mu.Lock()
	for _, p := range parts {
		delete(s.parts, topicPartition{p.topic, p.number})
		released[p.topic] = append(released[p.topic], p.number)
	}
	s.mu.Unlock()
	for _, p := range parts {
		p.stop()
	}
	drained := true
	if mode == releaseCommitting {
		drained = waitAll(parts, s.cfg.DrainTimeout)
	}
	for _, p := range parts {
		p.cancel()
	}
	if !waitAll(parts, handlerGrace) {
		drained = false
		s.mu.Lock()
		for _, p := range parts {
			if !p.finished() {
				s.left = append(s.left, fmt.Sprintf("%s/%d", p.topic, p.number))
			}
		}
		s.mu.Unlock()
	}
	if mode == releaseCommitting {
		s.commit(parts)
	}
	s.cfg.Hooks.rebalanced(Rebalance{
		Group: s.cfg.Group, Kind: kind, Partitions: s.withoutPrefix(released), Drained: drained, Duration: time.Since(began),
	})
}

// waitAll reports whether every worker ended within d.
func waitAll(parts []*partition, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for _, p := range parts {
		select {
		case <-p.done:
		case <-timer.C:
			for _, p := range parts {
				if !p.finished() {
					return false
				}
			}
			return true
		}
	}
	return true
}
