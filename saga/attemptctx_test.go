package saga_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagatest"
)

// alone runs one saga of a single step in a bubble and returns its result.
func alone(t *testing.T, step *saga.StepNode[trip, string]) (trip, error) {
	def := saga.Define("alone", 1, step)
	e, stop := node(t, sagatest.NewStore(nil), saga.Hooks{}, def)
	defer stop()
	run, err := def.Start(t.Context(), e, "t1", trip{})
	require.NoError(t, err)
	return run.Result(t.Context())
}

// The context of an attempt behaves as the standard library's do, for those who wait for it, ask it or derive from it.
func TestAttemptContext(t *testing.T) {
	type key struct{}
	for name, until := range map[string]func(context.Context) error{
		"Done": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"Err": func(ctx context.Context) error {
			for ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
			return ctx.Err()
		},
		"a derived context": func(ctx context.Context) error {
			child, cancel := context.WithCancel(context.WithValue(ctx, key{}, 1))
			defer cancel()
			<-child.Done()
			return context.Cause(child)
		},
		"a derived deadline": func(ctx context.Context) error {
			child, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			at, _ := child.Deadline()
			mine, ok := ctx.Deadline()
			if !ok || !at.Equal(mine) {
				return errors.New("the earlier deadline does not win")
			}
			<-child.Done()
			return child.Err()
		},
		"AfterFunc": func(ctx context.Context) error {
			ended := make(chan struct{})
			context.AfterFunc(ctx, func() { close(ended) })
			stop := context.AfterFunc(ctx, func() { panic("stopped in time") })
			if !stop() || stop() {
				return errors.New("stop does not tell whether it stopped")
			}
			<-ended
			return ctx.Err()
		},
		"AfterFunc of an ended one": func(ctx context.Context) error {
			<-ctx.Done()
			ended := make(chan struct{})
			if context.AfterFunc(ctx, func() { close(ended) })() {
				return errors.New("stopped after the end")
			}
			<-ended
			return ctx.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				attempts := 0
				_, err := alone(t, saga.Step("wait", func(c saga.Ctx, _ trip) (string, error) {
					attempts++
					at, ok := c.Deadline()
					require.True(t, ok)
					require.Equal(t, 3*time.Second, time.Until(at))
					err := until(c)
					require.ErrorIs(t, err, context.DeadlineExceeded)
					return "", err
				}).Timeout(3*time.Second).Retry(saga.Retry{Max: 1}))
				require.ErrorContains(t, err, "no result within 3s")
				require.Equal(t, 1, attempts)
				require.Equal(t, 3*time.Second, time.Since(began).Truncate(100*time.Millisecond))
			})
		})
	}
}

// What was derived from the context of an attempt ends with the attempt, and leaks nothing.
func TestAttemptContextEndsWithTheAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept context.Context
		var after chan struct{}
		_, err := alone(t, saga.Step("keep", func(c saga.Ctx, _ trip) (string, error) {
			ended := make(chan struct{})
			kept = c
			context.AfterFunc(c, func() { close(ended) })
			after = ended
			return "", c.Err()
		}))
		require.NoError(t, err)
		<-kept.Done()
		<-after
		require.ErrorIs(t, kept.Err(), context.Canceled)
	})
}

// A function that ends its goroutine, as a test's FailNow does, has failed like any other.
func TestGoexitIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		out, err := alone(t, saga.Step("exit", func(saga.Ctx, trip) (string, error) {
			if attempts++; attempts == 1 {
				runtime.Goexit()
			}
			return "done", nil
		}).Into(func(t *trip, r string) { t.Name = r }))
		require.NoError(t, err)
		require.Equal(t, "done", out.Name)
		require.Equal(t, 2, attempts)
	})
}
