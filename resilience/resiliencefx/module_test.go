package resiliencefx_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"
	"go.uber.org/goleak"

	"github.com/marty-framework/mmf/resilience"
	"github.com/marty-framework/mmf/resilience/resiliencefx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGraphIsComplete(t *testing.T) {
	t.Parallel()
	require.NoError(t, fx.ValidateApp(
		resiliencefx.Module, fx.Supply([]resilience.Config{{Name: "a"}}), fx.Invoke(func(*resilience.Set) {}),
	))
}

func TestStartUseStop(t *testing.T) {
	t.Parallel()
	var set *resilience.Set
	calls := 0
	app := fxtest.New(t, resiliencefx.Module,
		fx.Supply(
			[]resilience.Config{{Name: "a"}},
			resilience.Hooks{Call: func(context.Context, resilience.CallEvent) { calls++ }},
		),
		fx.Populate(&set),
	)
	app.RequireStart()
	p, err := set.Policy("a")
	require.NoError(t, err)
	_, err = resilience.Do(t.Context(), p, func(context.Context) (int, error) { return 1, nil })
	require.NoError(t, err)
	require.Equal(t, 1, calls)
	app.RequireStop()
}

func TestInvalidConfigFailsTheStart(t *testing.T) {
	t.Parallel()
	app := fx.New(fx.NopLogger, resiliencefx.Module, fx.Supply([]resilience.Config{{}}), fx.Invoke(func(*resilience.Set) {}))
	require.ErrorContains(t, app.Err(), "Name must be")
}

func Example() {
	app := fx.New(fx.NopLogger, resiliencefx.Module,
		fx.Supply([]resilience.Config{{Name: "payment", Bulkhead: resilience.Bulkhead{Max: 5}}}),
		fx.Invoke(func(set *resilience.Set) error {
			payment, err := set.Policy("payment")
			if err != nil {
				return err
			}
			fmt.Println(payment.State().Limit)
			return nil
		}),
	)
	fmt.Println(app.Err())
	// Output:
	// 5
	// <nil>
}
