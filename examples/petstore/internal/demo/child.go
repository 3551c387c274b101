package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// Shop is a running shop: a child process.
type Shop struct {
	URLs  map[string]string `json:"urls"`
	Kafka struct {
		Brokers []string `json:"brokers"`
		Prefix  string   `json:"prefix"`
	} `json:"kafka"`
	TookMS int64 `json:"took_ms"`

	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended
	errs   *tail
}

// startTimeout bounds the time to the ready line, stopTimeout that of the shop's own drain.
const (
	startTimeout = 60 * time.Second
	stopTimeout  = 15 * time.Second
)

// StartShop starts binary as "serve --ports free --stop-with-stdin" with args and waits for its ready line. The shop ends with this
// process, even if that is killed: then its standard input ends.
func StartShop(ctx context.Context, binary string, args ...string) (*Shop, error) {
	s := &Shop{exited: make(chan struct{}), errs: &tail{max: 8 << 10}}
	// Not CommandContext: the shop's end is ordered by Stop and Kill, which also wait for it.
	args = append([]string{"serve", "--ports", "free", "--stop-with-stdin"}, args...)
	s.cmd = exec.Command(binary, args...) //nolint:gosec,noctx // our own binary; see above
	s.cmd.Stderr = s.errs
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if _, err := s.cmd.StdinPipe(); err != nil { // stays open until the shop has ended
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a shop: %w", err)
	}
	ready := make(chan error, 1)
	go func() {
		lines := bufio.NewReader(out)
		line, err := lines.ReadString('\n')
		if err == nil {
			err = json.Unmarshal([]byte(line), s)
		}
		ready <- err
		_, _ = lines.WriteTo(discard{}) // the rest is for people; a full pipe would stop the shop
		_ = s.cmd.Wait()                // how it ended is known to whoever ended it
		close(s.exited)
	}()
	select {
	case err = <-ready:
	case <-time.After(startTimeout):
		err = fmt.Errorf("it is not ready after %v", startTimeout)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		s.Kill()
		return nil, fmt.Errorf("the shop did not start: %w\n%s", err, s.errs)
	}
	return s, nil
}

// Stop asks the shop to drain and waits; one that takes too long is killed, which is an error.
func (s *Shop) Stop() error {
	_ = s.cmd.Process.Signal(os.Interrupt) // it fails only when the process has ended
	select {
	case <-s.exited:
		return nil
	case <-time.After(stopTimeout):
		s.Kill()
		return fmt.Errorf("the shop did not stop within %v and was killed", stopTimeout)
	}
}

// Kill ends the shop at once (SIGKILL) and waits until it is gone.
func (s *Shop) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.exited
}

// Gone waits until the process has ended by itself.
func (s *Shop) Gone(ctx context.Context) error {
	select {
	case <-s.exited:
		return nil
	case <-ctx.Done():
		return errors.Join(errors.New("the shop still runs"), ctx.Err())
	}
}

// Ending says how the process ended, once it has.
func (s *Shop) Ending() string {
	<-s.exited
	return s.cmd.ProcessState.String()
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// tail keeps the end of what was written to it.
type tail struct {
	max int

	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - t.max; over > 0 {
		t.text = append([]byte(nil), t.text[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}
