package pgproxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// link is one client's connection with its twin to the server.
type link struct {
	p              *Proxy
	n              int
	client, server net.Conn

	mu      sync.Mutex // guards what both directions use
	gone    bool
	pid     uint32
	session session
	pending []*group // sent and not answered yet
}

// group is a point on its way.
type group struct {
	point    Point
	hide     bool // the reply is not for the client: the proxy asked
	replaced []byte
	reply    []byte // held back until it is complete
	wrote    bool   // a command tag says that something was written
}

func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = true
	_ = l.client.Close()
	if l.server != nil {
		_ = l.server.Close()
	}
}

func (l *link) run() {
	var fate Fate
	var hook func() Fate
	l.p.set(func() { hook = l.p.connect })
	if hook != nil {
		fate = hook()
	}
	in := bufio.NewReaderSize(l.client, 64<<10)
	startup, cancels, err := readStartup(in, l.client)
	if err != nil {
		return
	}
	if fate.code != "" {
		l.p.set(func() { l.p.counts.Failed++ })
		_, _ = l.client.Write(errorFrame(fate.code, "FATAL"))
		return
	}
	var dialer net.Dialer
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	server, err := dialer.DialContext(ctx, "tcp", l.p.target)
	cancel()
	if err != nil {
		return
	}
	l.mu.Lock()
	l.server = server
	gone := l.gone
	l.pending = append(l.pending, &group{})
	l.mu.Unlock()
	if gone {
		_ = server.Close()
		return
	}
	l.p.wait()
	if _, err := server.Write(startup); err != nil || cancels {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer l.close()
		l.replies(bufio.NewReaderSize(server, 64<<10))
	}()
	l.requests(in)
	l.close()
	<-done
}

// readStartup reads the first message; encryption is declined.
func readStartup(in io.Reader, out io.Writer) (msg []byte, cancels bool, err error) {
	for {
		head := make([]byte, 8)
		if _, err := io.ReadFull(in, head); err != nil {
			return nil, false, err
		}
		size := binary.BigEndian.Uint32(head)
		if size < 8 || size > 1<<16 {
			return nil, false, errors.New("pgproxy: no startup message")
		}
		msg := append(head, make([]byte, size-8)...)
		if _, err := io.ReadFull(in, msg[8:]); err != nil {
			return nil, false, err
		}
		switch binary.BigEndian.Uint32(head[4:]) {
		case 80877103, 80877104: // SSLRequest, GSSENCRequest
			if _, err := out.Write([]byte{'N'}); err != nil {
				return nil, false, err
			}
		case 80877102: // CancelRequest
			return msg, true, nil
		default:
			return msg, false, nil
		}
	}
}

// readFrame reads one message with its type and length.
func readFrame(in io.Reader) ([]byte, error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(in, head); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size < 4 || size > 1<<30 {
		return nil, fmt.Errorf("pgproxy: a message of %d bytes", size)
	}
	frame := append(head, make([]byte, size-4)...)
	_, err := io.ReadFull(in, frame[5:])
	return frame, err
}

// requests forwards what the client sends, point by point.
func (l *link) requests(in io.Reader) {
	var frames []byte
	var sql []string
	for {
		frame, err := readFrame(in)
		if err != nil {
			return
		}
		frames = append(frames, frame...)
		l.mu.Lock()
		run, err := l.session.frontend(frame)
		l.mu.Unlock()
		if err != nil {
			return
		}
		sql = append(sql, run...)
		switch frame[0] {
		case 'S', 'Q':
			if !l.send(frames, sql) {
				return
			}
		case 'P', 'B', 'D', 'E', 'C':
			continue // more belongs to it
		default: // passwords, copy data, flush, farewell
			l.p.wait()
			if _, err := l.server.Write(frames); err != nil {
				return
			}
		}
		frames, sql = nil, nil
	}
}

// send decides about a point and forwards it.
func (l *link) send(frames []byte, sql []string) bool {
	l.mu.Lock()
	g := &group{point: Point{Conn: l.n, Process: l.pid, SQL: sql, InTx: l.session.inTx}}
	durable, ends := l.session.begin(sql)
	g.point.Writes = durable
	l.mu.Unlock()
	l.p.set(func() {
		l.p.counts.Points++
		if len(durable) > 0 {
			l.p.counts.Commits++
			g.point.Commit = l.p.counts.Commits
		}
	})
	fate := l.p.decide(g.point, false)
	l.p.wait()
	switch {
	case fate.cut:
		return false
	case fate.fatal:
		_, _ = l.client.Write(errorFrame(fate.code, "FATAL"))
		return false
	case fate.code != "":
		raise := query(fmt.Sprintf("do $$ begin raise exception 'made by the test' using errcode = '%s'; end $$", fate.code))
		frames = raise
		if ends { // a COMMIT that fails leaves no transaction behind
			frames = append(frames, query("rollback")...)
		}
	}
	l.mu.Lock()
	l.pending = append(l.pending, g)
	if fate.code != "" && ends {
		l.pending = append(l.pending, &group{hide: true})
	}
	l.mu.Unlock()
	_, err := l.server.Write(frames)
	return err == nil
}

// replies forwards what the server sends. What answers a commit is held back until it is complete.
func (l *link) replies(in io.Reader) {
	for {
		frame, err := readFrame(in)
		if err != nil {
			return
		}
		l.p.wait()
		l.mu.Lock()
		var g *group
		if len(l.pending) > 0 {
			g = l.pending[0]
		}
		if frame[0] == 'K' && len(frame) >= 9 {
			l.pid = binary.BigEndian.Uint32(frame[5:])
		}
		l.mu.Unlock()
		if g == nil || frame[0] == 'A' || frame[0] == 'N' { // notifications come at any time
			if _, err := l.client.Write(frame); err != nil {
				return
			}
			continue
		}
		g.note(frame)
		if frame[0] != 'Z' {
			if g.point.Commit > 0 || g.hide || l.swallows(g) {
				g.reply = append(g.reply, frame...)
			} else if _, err := l.client.Write(frame); err != nil {
				return
			}
			continue
		}
		if !l.answered(g, frame) {
			return
		}
	}
}

// swallows reports whether the reply must be complete before anybody decides about it; an error reply to a failing COMMIT
// waits for the rollback's.
func (l *link) swallows(g *group) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.pending) > 1 && l.pending[1].hide && g == l.pending[0]
}

// answered ends a group with its ReadyForQuery and reports whether the connection goes on.
func (l *link) answered(g *group, ready []byte) bool {
	status := ready[len(ready)-1]
	l.mu.Lock()
	l.pending = l.pending[1:]
	next := len(l.pending) > 0 && l.pending[0].hide
	if next { // its end is the next one's
		l.pending[0].replaced = g.reply
	}
	if len(l.pending) == 0 {
		l.session.ready(status)
	}
	l.mu.Unlock()
	if next {
		return true
	}
	out := append(append([]byte(nil), g.reply...), ready...)
	if g.hide {
		out = append(append([]byte(nil), g.replaced...), ready...)
	}
	g.point.Durable = g.point.Commit > 0 && g.wrote && g.point.Failed == "" && status == 'I'
	if g.point.Commit == 0 && !g.hide && !g.point.InTx && g.wrote && status == 'I' {
		l.p.set(func() { l.p.counts.Unforeseen++ })
	}
	if !g.hide && len(g.point.SQL) > 0 {
		switch fate := l.p.decide(g.point, true); {
		case fate.cut:
			return false
		case fate.fatal:
			_, _ = l.client.Write(errorFrame(fate.code, "FATAL"))
			return false
		case fate.code != "" && g.point.Commit > 0:
			out = append(errorFrame(fate.code, "ERROR"), ready...)
		}
		l.p.wait()
	}
	_, err := l.client.Write(out)
	return err == nil
}

// note learns from a reply.
func (g *group) note(frame []byte) {
	switch frame[0] {
	case 'C':
		tag, _, _ := bytes.Cut(frame[5:], []byte{0})
		word, _, _ := bytes.Cut(tag, []byte{' '})
		switch string(word) {
		case "INSERT", "UPDATE", "DELETE", "MERGE", "COMMIT", "COPY", "CREATE", "DROP", "ALTER", "TRUNCATE":
			g.wrote = true
		case "SELECT":
			g.wrote = g.wrote || g.point.Commit > 0 // a data-modifying WITH may answer with rows
		}
	case 'E':
		var e pgproto3.ErrorResponse
		if e.Decode(frame[5:]) == nil {
			g.point.Failed = e.Code
		}
	}
}

func query(sql string) []byte {
	out, _ := (&pgproto3.Query{String: sql}).Encode(nil) // fails only above 1 GB
	return out
}

func errorFrame(code, severity string) []byte {
	e := &pgproto3.ErrorResponse{Severity: severity, SeverityUnlocalized: severity, Code: code, Message: "made by the test"}
	out, _ := e.Encode(nil) // fails only above 1 GB
	return out
}
