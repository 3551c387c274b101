package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// install fetches what is missing as Debian packages when that is possible here: as root, with apt-get. Required servers
// come first and by themselves, so that a failure to get Java does not cost PostgreSQL. The errors are keyed by kind.
func install(ctx context.Context, kinds []kind) map[string]error {
	failed := map[string]error{}
	if os.Geteuid() != 0 || !onPath("apt-get") {
		return failed
	}
	updated := false
	for _, k := range kinds {
		if os.Getenv(k.preset) != "" || !k.missing() {
			continue
		}
		if !updated {
			updated = true
			if err := apt(ctx, "update"); err != nil {
				fmt.Fprintln(os.Stderr, "withservers:", err) // the lists of the last update may do
			}
		}
		fmt.Fprintf(os.Stderr, "withservers: installing %s for %s\n", join(k.packages), k.title)
		failed[k.name] = apt(ctx, append([]string{"install", "-y", "--no-install-recommends"}, k.packages...)...)
	}
	return failed
}

func apt(ctx context.Context, args ...string) error {
	// Another installation may hold the lock for minutes on a machine that is just being set up.
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-q", "-o", "DPkg::Lock::Timeout=300"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get %s: %w: %s", join(args), err, bytes.TrimSpace(tailBytes(out)))
	}
	return nil
}

func onPath(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

func join(words []string) string { return strings.Join(words, " ") }
