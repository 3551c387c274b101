package order

import (
	"context"
	"os"

	"github.com/marty-framework/mmf/saga"
)

// crashAfter is the fault saga.crash_after_step: it kills the process right after an attempt of that step ended, before anything can
// tidy up. Settings refuse it in prod.
func crashAfter(step string) saga.Hooks {
	return saga.Hooks{Attempted: func(_ context.Context, e saga.AttemptEvent) {
		if e.Step != step {
			return
		}
		if self, err := os.FindProcess(os.Getpid()); err == nil {
			_ = self.Kill() // SIGKILL: no deferred function, no flush, no goodbye
		}
		select {}
	}}
}
