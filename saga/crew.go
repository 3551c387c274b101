package saga

import "sync"

// crew counts the goroutines of a worker. Unlike a sync.WaitGroup it may be asked to start one at any time: after close it
// refuses.
type crew struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   []chan struct{}
}

// start runs f in a goroutine, unless the crew is closed.
func (c *crew) start(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.n++
	go func() {
		defer c.done()
		f()
	}()
	return true
}

func (c *crew) done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n--; c.n == 0 {
		for _, ch := range c.idle {
			close(ch)
		}
		c.idle = nil
	}
}

// rest returns a channel that is closed when nobody works, be it for a moment.
func (c *crew) rest() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := make(chan struct{})
	if c.n == 0 {
		close(ch)
	} else {
		c.idle = append(c.idle, ch)
	}
	return ch
}

// close refuses newcomers.
func (c *crew) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}
