package faulttest_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// process is a worker that runs.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	out  *bytes.Buffer
	done chan struct{}
	err  error

	mu   sync.Mutex
	gone bool
}

// launch starts a worker, behind a prefix of command words.
func launch(t *testing.T, s spec, prefix ...string) *process {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	raw, err := json.Marshal(s)
	require.NoError(t, err)
	words := append(prefix, exe)
	p := &process{t: t, name: s.Name, cmd: exec.Command(words[0], words[1:]...), out: &bytes.Buffer{}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), workerEnv+"="+string(raw))
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a tracer before it dies with it
	require.NoError(t, p.cmd.Start())
	go func() {
		p.err = p.cmd.Wait()
		p.mu.Lock()
		p.gone = true
		p.mu.Unlock()
		close(p.done)
	}()
	t.Cleanup(func() { p.kill() })
	return p
}

func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.gone {
		_ = syscall.Kill(-p.cmd.Process.Pid, s)
	}
}

// kill ends it with SIGKILL and returns when it is gone.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// finish waits until it ends by itself, which must be without an error.
func (p *process) finish() {
	p.t.Helper()
	<-p.done
	require.NoError(p.t, p.err, "%s: %s", p.name, p.out)
}
