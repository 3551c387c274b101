package sagatest

import (
	"context"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/saga"
)

func (f *fixture) callsAreHeard() {
	caller, ok := f.store.(saga.Caller)
	if !ok {
		f.Skip("processes on this store do not call each other: it is no saga.Caller")
	}
	long := strings.Repeat("x", 7500)
	ctx, cancel := context.WithCancel(f.Context())
	defer cancel()
	ready, ended := make(chan struct{}, 2), make(chan error, 2)
	heard := make(chan string, 10)
	for range 2 {
		go func() {
			ended <- caller.Listen(ctx, func() { ready <- struct{}{} }, func(m string) { heard <- m })
		}()
	}
	<-ready
	<-ready
	for _, m := range []string{"one", long} {
		require.NoError(f, caller.Call(f.Context(), m))
		require.Equal(f, m, <-heard)
		require.Equal(f, m, <-heard, "each listener hears it")
	}
	cancel()
	for range 2 {
		require.ErrorIs(f, <-ended, context.Canceled)
	}
}
