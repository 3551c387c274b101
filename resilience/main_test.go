package resilience_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/marty-framework/mmf/resilience"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errDown = errors.New("the dependency is down")

func newPolicy(t testing.TB, cfg resilience.Config) *resilience.Policy {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name = "dep"
	}
	p, err := resilience.New(cfg)
	require.NoError(t, err)
	return p
}

// call makes one call that ends with err and tells whether the dependency was reached.
func call(ctx context.Context, p *resilience.Policy, err error, opts ...resilience.Option) (reached bool, got error) {
	_, got = resilience.Do(ctx, p, func(context.Context) (int, error) {
		reached = true
		return 1, err
	}, opts...)
	return reached, got
}
