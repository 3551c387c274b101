// Command gotest runs "go test" and prints what matters: the result line of every package, the output of every test that
// failed, and, as its last lines, how many tests ran and which were skipped for which reason. A skip that nobody sees is
// how a suite comes to test nothing.
//
//	go run -C tools ./gotest -dir .. -race ./...
//
// With -v as its first argument it also prints the result line of each top-level test. Everything else goes to go test.
// The exit status is go test's own.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

func main() {
	status, err := run(os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
	}
	os.Exit(status)
}

func run(args []string, stdout, stderr io.Writer) (int, error) {
	verbose, dir := false, ""
	for len(args) > 0 {
		if args[0] == "-v" {
			verbose, args = true, args[1:]
		} else if args[0] == "-dir" && len(args) > 1 {
			dir, args = args[1], args[2:]
		} else {
			break
		}
	}
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Dir, cmd.Stderr = dir, stderr
	output, err := cmd.StdoutPipe()
	if err != nil {
		return 1, err
	}
	// A Ctrl-C reaches go test as well, which ends its tests; what they said until then is worth printing.
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(interrupts)
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	r := newReport(stdout, verbose)
	readErr := readEvents(output, r)
	err = cmd.Wait()
	r.summary()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1), readErr
	case err != nil:
		return 1, err
	case r.failed > 0:
		return 1, errors.New("go test reported failures and still ended well")
	case readErr != nil:
		return 1, readErr
	}
	return 0, nil
}

// readEvents feeds go test's JSON lines to r. Lines that are no JSON (a go command's own complaints) are printed as they are.
func readEvents(from io.Reader, r *report) error {
	lines := bufio.NewReaderSize(from, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if line[0] == '{' && json.Unmarshal(line, &e) == nil {
				r.add(e)
			} else {
				r.print(string(line))
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
