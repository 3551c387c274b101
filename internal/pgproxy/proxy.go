// Package pgproxy is a proxy in front of PostgreSQL for tests: it knows which message makes something durable, and does
// what networks and servers do at the worst moment.
//
//	proxy, err := pgproxy.Start("127.0.0.1:5432")
//	proxy.After(func(p pgproxy.Point) pgproxy.Fate {
//		if p.Commit > 0 {
//			return pgproxy.Cut // the server has committed; the client will never know
//		}
//		return pgproxy.Forward
//	})
//
// It reads frames and never encrypts: clients must not insist on TLS. Replies of COPY to the server are passed on as they
// come. It is safe for concurrent use.
package pgproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
)

// Point is what a client sent at once and the server answers with one ReadyForQuery: a simple query, or the messages up
// to a Sync.
type Point struct {
	Conn    int      // numbers the connections from 1
	Process uint32   // the server's process id of the connection, 0 before it is known
	SQL     []string // the statements that it runs; none when it only prepares
	InTx    bool     // it began inside a transaction block
	// Commit numbers, over all connections and from 1, the points that make writes durable: the end of a transaction that
	// wrote, or a writing statement outside of any. 0: not such a point.
	Commit int
	Writes []string // the statements whose writes it makes durable
	// Durable is told after the server's reply: it did commit.
	Durable bool
	// Failed is the SQLSTATE of the server's reply, if that was an error.
	Failed string
}

// Fate is what becomes of a point or of its reply.
type Fate struct {
	cut   bool
	code  string
	fatal bool
}

var (
	// Forward passes it on.
	Forward = Fate{}
	// Cut drops it and closes the connection on both sides.
	Cut = Fate{cut: true}
)

// Fail lets the server itself fail with an SQLSTATE instead of running the point, so that a transaction is aborted in
// truth. As the fate of a reply it replaces the reply.
func Fail(sqlstate string) Fate { return Fate{code: sqlstate} }

// Kill ends the session with a FATAL error of the SQLSTATE, as a server does that shuts down. Before the point, nothing of it
// was run; as the fate of a reply the client is told the same although it was.
func Kill(sqlstate string) Fate { return Fate{code: sqlstate, fatal: true} }

// Hook decides about a point. It may block, which holds up this one connection: the client waits for its reply.
type Hook func(Point) Fate

// Counts says what a proxy has seen and done. A test whose fault never fired shows nothing.
type Counts struct {
	Conns      int // accepted
	Points     int
	Commits    int // points that make writes durable
	Cut        int // connections closed instead of forwarding
	Swallowed  int // replies withheld, with the connection closed
	Failed     int // errors made
	Refused    int // connections refused while down
	Unforeseen int // commits that the proxy did not recognise beforehand: its own mistake
}

// Proxy stands between clients and one server; make it with [Start].
type Proxy struct {
	listener net.Listener
	target   string
	all      sync.WaitGroup
	closed   chan struct{}

	mu            sync.Mutex
	before, after Hook
	connect       func() Fate
	counts        Counts
	thaw          chan struct{} // not nil while frozen, closed by Thaw
	down          bool
	links         map[*link]struct{}
}

// Start listens on a free loopback port and forwards to target, a host:port.
func Start(target string) (*Proxy, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("pgproxy: %w", err)
	}
	p := &Proxy{listener: l, target: target, closed: make(chan struct{}), links: map[*link]struct{}{}}
	p.all.Go(p.accept)
	return p, nil
}

// Addr is the host:port to connect to.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close cuts every connection and waits for the hooks to return.
func (p *Proxy) Close() error {
	close(p.closed)
	err := p.listener.Close()
	p.CutAll()
	p.Thaw()
	p.all.Wait()
	return err
}

// Before sets the hook that decides about a point before the server sees it; nil forwards everything.
func (p *Proxy) Before(h Hook) { p.set(func() { p.before = h }) }

// After sets the hook that decides about the reply to a point, before the client sees it; nil forwards everything.
func (p *Proxy) After(h Hook) { p.set(func() { p.after = h }) }

// Connect sets the hook that decides about a client's wish to connect; only [Kill] and [Forward] make sense.
func (p *Proxy) Connect(h func() Fate) { p.set(func() { p.connect = h }) }

// Counts tells what happened so far.
func (p *Proxy) Counts() (c Counts) {
	p.set(func() { c = p.counts })
	return c
}

// Freeze lets nothing through in either direction until Thaw; connections stay open, as behind a network that drops packets.
func (p *Proxy) Freeze() {
	p.set(func() {
		if p.thaw == nil {
			p.thaw = make(chan struct{})
		}
	})
}

// Thaw ends Freeze.
func (p *Proxy) Thaw() {
	p.set(func() {
		if p.thaw != nil {
			close(p.thaw)
			p.thaw = nil
		}
	})
}

// Down cuts every connection and refuses new ones until Up.
func (p *Proxy) Down() {
	p.set(func() { p.down = true })
	p.CutAll()
}

// Up ends Down.
func (p *Proxy) Up() { p.set(func() { p.down = false }) }

// CutAll closes every connection, and reports how many there were.
func (p *Proxy) CutAll() int {
	p.mu.Lock()
	links := make([]*link, 0, len(p.links))
	for l := range p.links {
		links = append(links, l)
	}
	p.mu.Unlock()
	for _, l := range links {
		l.close()
	}
	return len(links)
}

func (p *Proxy) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		p.all.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	l := &link{p: p, client: client}
	refused := false
	p.set(func() {
		if refused = p.down; refused {
			p.counts.Refused++
			return
		}
		p.counts.Conns++
		l.n = p.counts.Conns
		p.links[l] = struct{}{}
	})
	if refused {
		_ = client.Close()
		return
	}
	defer p.set(func() { delete(p.links, l) })
	defer l.close()
	l.run()
}

// wait returns when the proxy is not frozen.
func (p *Proxy) wait() {
	for {
		var thaw chan struct{}
		p.set(func() { thaw = p.thaw })
		if thaw == nil {
			return
		}
		select {
		case <-thaw:
		case <-p.closed:
			return
		}
	}
}

// decide asks the hook of one side.
func (p *Proxy) decide(point Point, reply bool) Fate {
	var h Hook
	p.set(func() {
		if h = p.before; reply {
			h = p.after
		}
	})
	fate := Forward
	if h != nil {
		fate = h(point)
	}
	p.set(func() {
		switch {
		case fate.cut && reply:
			p.counts.Swallowed++
		case fate.cut:
			p.counts.Cut++
		case fate.code != "":
			p.counts.Failed++
		}
	})
	return fate
}
