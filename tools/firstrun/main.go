// Command firstrun holds the petstore to what a newcomer is promised: it starts the shop as "go run ./examples/petstore"
// would, on free ports and with nothing else on the machine, and measures how long it takes to be ready, what it weighs when
// idle, and how Ctrl-C ends it.
//
//	firstrun PETSTORE-BINARY
//
// MMF_TIME_SCALE stretches the limits of time on a slow machine.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// The promises.
const (
	readyWithin = 2 * time.Second
	idleWeight  = 150 // MB
	stopWithin  = 2 * time.Second
	settle      = 3 * time.Second // after which the shop counts as idle
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: firstrun PETSTORE-BINARY")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	err := run(ctx, os.Args[1], scale())
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "firstrun:", err)
		os.Exit(1)
	}
}

// scale is the factor of MMF_TIME_SCALE, 1 without it.
func scale() float64 {
	if f, err := strconv.ParseFloat(os.Getenv("MMF_TIME_SCALE"), 64); err == nil && f >= 1 {
		return f
	}
	return 1
}

func run(ctx context.Context, binary string, slow float64) error {
	limit := func(d time.Duration) time.Duration { return time.Duration(float64(d) * slow) }
	cmd := exec.CommandContext(ctx, binary, "serve", "--ports", "free")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := false
	defer func() {
		if !ended {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}()
	lines := bufio.NewReader(out)
	edge, err := readyLine(lines)
	if err != nil {
		return err
	}
	if err := answers(ctx, edge+"/readyz"); err != nil {
		return err
	}
	ready := time.Since(began)

	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(settle):
	}
	weight, err := residentMB(cmd.Process.Pid)
	if err != nil {
		return err
	}

	began = time.Now()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	rest, err := io.ReadAll(lines)
	if err != nil {
		return err
	}
	ended = true
	exit := cmd.Wait()
	stopped := time.Since(began)

	fmt.Printf("ready after %s (limit %s), %d MB idle (limit %d), stopped in %s (limit %s)\n", ready.Round(time.Millisecond),
		limit(readyWithin), weight, idleWeight, stopped.Round(time.Millisecond), limit(stopWithin))
	return errors.Join(
		exit,
		check(ready <= limit(readyWithin), "the shop was ready only after %s", ready),
		check(weight <= idleWeight, "the idle shop weighs %d MB", weight),
		check(stopped <= limit(stopWithin), "Ctrl-C took %s", stopped),
		check(bytes.Contains(rest, []byte("drained")), "Ctrl-C printed no report of the shutdown"),
	)
}

func check(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

// readyLine reads the line that the shop prints for programs when it is ready, and returns the edge's URL.
func readyLine(lines *bufio.Reader) (string, error) {
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return "", fmt.Errorf("the shop ended before it was ready: %w", err)
	}
	var r struct {
		Ready bool              `json:"ready"`
		URLs  map[string]string `json:"urls"`
	}
	if err := json.Unmarshal(line, &r); err != nil || !r.Ready || r.URLs["edge"] == "" {
		return "", fmt.Errorf("the shop's first line does not say that it is ready: %.200s", line)
	}
	return r.URLs["edge"], nil
}

func answers(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return check(resp.StatusCode == http.StatusOK, "GET /readyz answered %s", resp.Status)
}

// residentMB is what the process holds in memory, by the kernel's account.
func residentMB(pid int) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if kb, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(kb), " kB"))
			return n / 1024, err
		}
	}
	return 0, fmt.Errorf("the kernel does not say what process %d weighs", pid)
}
