package kafka

import (
	"context"
	"hash/maphash"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// partition works through one partition while this member owns it. Records of one key go to one lane; a lane handles one record
// after the other. A new ownership makes a new partition, so a handler left behind by an old one can move nothing.
type partition struct {
	s      *session
	topic  string // with the prefix
	number int32
	ctx    context.Context // of the handlers
	cancel context.CancelFunc
	seed   maphash.Seed
	lanes  []chan job
	stopCh chan struct{} // closed: start nothing more
	stop   func()
	done   chan struct{} // closed: every lane has ended

	mu         sync.Mutex // guards what follows
	marks      watermark
	records    int // delivered and above the watermark
	bytes      int
	paused     bool
	highest    int64 // the partition's end as of the last fetch
	lastCommit kgo.EpochOffset
}

type job struct {
	record *kgo.Record
	mark   *markedRecord
}

// newPartition starts the lanes; stop and then done end them.
func newPartition(s *session, topic string, number int32) *partition {
	p := &partition{
		s: s, topic: topic, number: number, seed: maphash.MakeSeed(),
		lanes: make([]chan job, s.cfg.Lanes), stopCh: make(chan struct{}), done: make(chan struct{}),
	}
	p.stop = sync.OnceFunc(func() { close(p.stopCh) })
	p.ctx, p.cancel = context.WithCancel(s.base)
	var lanes sync.WaitGroup
	for i := range p.lanes {
		// Fetching pauses at MaxBuffered and one poll brings at most MaxBuffered more: sending never waits.
		p.lanes[i] = make(chan job, 2*s.cfg.MaxBuffered)
		lanes.Go(func() { p.runLane(p.lanes[i]) })
	}
	go func() {
		lanes.Wait()
		close(p.done)
	}()
	return p
}

func (p *partition) runLane(jobs <-chan job) {
	for {
		select {
		case <-p.stopCh:
			return
		case j := <-jobs:
			if p.stopping() || !p.handle(j.record) {
				return // not handled: the partition's next owner gets it again
			}
			p.finish(j.mark)
		}
	}
}

func (p *partition) stopping() bool {
	select {
	case <-p.stopCh:
		return true
	default:
		return false
	}
}

func (p *partition) finished() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// push takes over fetched records. Only the poll loop calls it.
func (p *partition) push(records []*kgo.Record, highest int64) {
	for _, r := range records {
		p.mu.Lock()
		size := recordSize(r)
		m := p.marks.add(r.Offset, r.LeaderEpoch, size)
		p.records++
		p.bytes += size
		p.mu.Unlock()
		lane := p.lanes[0]
		if len(p.lanes) > 1 {
			lane = p.lanes[maphash.Bytes(p.seed, r.Key)%uint64(len(p.lanes))]
		}
		select {
		case lane <- job{r, m}:
		case <-p.stopCh:
			return
		}
	}
	p.mu.Lock()
	p.highest = max(p.highest, highest)
	if !p.paused && (p.records >= p.s.cfg.MaxBuffered || p.bytes >= p.s.cfg.MaxBufferedBytes) {
		p.paused = true
		p.s.client.PauseFetchPartitions(map[string][]int32{p.topic: {p.number}})
	}
	p.mu.Unlock()
}

// finish moves the watermark and resumes fetching once half of the room is free.
func (p *partition) finish(m *markedRecord) {
	p.mu.Lock()
	defer p.mu.Unlock()
	records, bytes := p.marks.finish(m)
	p.records -= records
	p.bytes -= bytes
	if p.paused && !p.stopping() && p.records <= p.s.cfg.MaxBuffered/2 && p.bytes <= p.s.cfg.MaxBufferedBytes/2 {
		p.paused = false
		p.s.client.ResumeFetchPartitions(map[string][]int32{p.topic: {p.number}})
	}
}

// uncommitted returns the watermark when it moved since the last commit.
func (p *partition) uncommitted() (kgo.EpochOffset, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.marks.next, p.marks.moved && p.marks.next != p.lastCommit
}

func (p *partition) committed(o kgo.EpochOffset) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lastCommit = o
}

func (p *partition) reportLag() {
	p.mu.Lock()
	var lag int64
	switch {
	case len(p.marks.pending) > 0:
		lag = p.highest - p.marks.pending[0].offset
	case p.marks.moved:
		lag = p.highest - p.marks.next.Offset
	}
	p.mu.Unlock()
	p.s.cfg.Hooks.lag(p.s.cfg.Group, strings.TrimPrefix(p.topic, p.s.cfg.Prefix), p.number, max(lag, 0))
}

func recordSize(r *kgo.Record) int {
	size := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		size += len(h.Key) + len(h.Value)
	}
	return size
}
