package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// spawner starts processes from one thread that lives as long as the program. The kernel ends a child with the signal in
// its Pdeathsig when the thread that forked it is gone, so that thread must not be one the Go runtime may retire; and
// that signal is why no server outlives this program, however it is killed.
type spawner struct{ jobs chan func() }

func newSpawner() *spawner {
	s := &spawner{jobs: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for job := range s.jobs {
			job()
		}
	}()
	return s
}

func (s *spawner) start(cmd *exec.Cmd) error {
	result := make(chan error)
	s.jobs <- func() { result <- cmd.Start() }
	return <-result
}

// process is a server that this program started. err may be read when done is closed.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
	err  error
}

// serve starts cmd as a server: in a process group of its own, so that a Ctrl-C at the terminal reaches the tests before
// their servers; its output in a log; and stopped at the end with the given signals, each given five seconds.
func (l *lab) serve(cmd *exec.Cmd, log string, signals ...syscall.Signal) (*process, error) {
	output, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	cmd.Stdout, cmd.Stderr = output, output
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	dieWithParent(cmd.SysProcAttr, syscall.SIGKILL)
	if err := l.spawn.start(cmd); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		if p.err == nil {
			p.err = errors.New("exit status 0")
		}
		close(p.done)
	}()
	l.atEnd(func() error { return p.stop(l.limit(5*time.Second), append(signals, syscall.SIGKILL)) })
	return p, nil
}

// stop sends each signal in turn until the process is gone.
func (p *process) stop(patience time.Duration, signals []syscall.Signal) error {
	for _, s := range signals {
		select {
		case <-p.done:
			return nil
		default:
		}
		if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("stop %s (pid %d): %w", p.cmd.Path, p.cmd.Process.Pid, err)
		}
		select {
		case <-p.done:
			return nil
		case <-time.After(patience):
		}
	}
	return fmt.Errorf("%s (pid %d) survived SIGKILL", p.cmd.Path, p.cmd.Process.Pid)
}

func (p *process) logTail() string { return tail(p.log) }

// runCommand runs the user's command and returns its exit status. Signals for this program go on to the command; the
// second one kills it. Whatever the command left behind in its process group is killed when it has ended.
func (l *lab) runCommand(dir string, env, command []string, signals <-chan os.Signal) (int, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir, cmd.Env = dir, env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// A group of its own cannot read from a terminal; at a terminal, Ctrl-C reaches the whole foreground group anyway.
	grouped := !terminal(os.Stdin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: grouped}
	dieWithParent(cmd.SysProcAttr, syscall.SIGTERM)
	if err := l.spawn.start(cmd); err != nil {
		return exitServers, err
	}
	target := cmd.Process.Pid
	if grouped {
		target = -target
		defer func() { _ = syscall.Kill(target, syscall.SIGKILL) }()
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for received := 0; ; {
		select {
		case s := <-signals:
			next := s.(syscall.Signal)
			if received++; received > 1 {
				next = syscall.SIGKILL
			}
			if !grouped && s == os.Interrupt && received == 1 {
				continue // the terminal has told it already
			}
			_ = syscall.Kill(target, next) // gone already: then Wait returns
		case err := <-ended:
			return status(err)
		}
	}
}

func status(err error) (int, error) {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		if err != nil {
			return exitServers, err
		}
		return 0, nil
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal()), fmt.Errorf("the command was ended by %v", ws.Signal())
	}
	return exit.ExitCode(), nil
}

// terminal says whether f is one: a character device, and not the null device, which is one as well.
func terminal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err == nil && !os.SameFile(info, null)
}
