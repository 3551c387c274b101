package datafx_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"
	"go.uber.org/goleak"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datafx"
	"github.com/marty-framework/mmf/data/datasqlite"
	"github.com/marty-framework/mmf/data/migrate"
	"github.com/marty-framework/mmf/data/outbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func source(name, path string) any {
	return datafx.AsSource(func() datafx.Source {
		return datafx.Source{Name: name, Open: func(ctx context.Context) (data.DB, error) {
			db, err := datasqlite.Open(ctx, datasqlite.Config{Path: path})
			if err != nil {
				return nil, err
			}
			if err := migrate.Up(ctx, db, outbox.Migrations(), migrate.Config{Name: outbox.MigrationsName}); err != nil {
				return nil, errors.Join(err, db.Close())
			}
			return db, nil
		}}
	})
}

type publisher chan outbox.Record

func (p publisher) Publish(_ context.Context, records []outbox.Record) []error {
	for _, r := range records {
		p <- r
	}
	return make([]error, len(records))
}

func newRelay(sources *data.Sources, box *outbox.Outbox, p publisher) (*outbox.Relay, error) {
	db, err := sources.DB("orders")
	if err != nil {
		return nil, err
	}
	return outbox.NewRelay(outbox.RelayConfig{}, box, db, p)
}

func TestModuleIsComplete(t *testing.T) {
	t.Parallel()
	require.NoError(t, fx.ValidateApp(datafx.Module))
	require.NoError(t, fx.ValidateApp(datafx.Module, fx.Provide(source("a", "")), fx.Invoke(func(*data.Sources) {})))
}

func TestStartUseStop(t *testing.T) {
	t.Parallel()
	p := make(publisher, 1)
	var sources *data.Sources
	var box *outbox.Outbox
	app := fxtest.New(t, datafx.Module,
		fx.Supply(outbox.Config{Source: "test"}, p),
		fx.Provide(
			source("orders", filepath.Join(t.TempDir(), "orders.db")),
			source("audit", filepath.Join(t.TempDir(), "audit.db")),
			outbox.New, newRelay,
			datafx.AsRunner(func(r *outbox.Relay) datafx.Runner { return datafx.Runner{Name: "outbox", Run: r.Run} }),
		),
		fx.Populate(&sources, &box),
	)
	app.RequireStart()
	require.Equal(t, []string{"audit", "orders"}, sources.Names())
	db, err := sources.DB("orders")
	require.NoError(t, err)
	require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		return box.Write(ctx, tx, data.Event{ID: "e-1", Topic: "t", Key: "k", Type: "x"})
	}))
	require.Equal(t, "e-1", (<-p).ID)
	app.RequireStop()
	require.Error(t, db.Ping(context.WithoutCancel(t.Context())), "closed")
}

func TestASourceThatFailsClosesTheOthers(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	var opened data.DB
	app := fx.New(fx.NopLogger, datafx.Module, fx.Provide(
		datafx.AsSource(func() datafx.Source {
			return datafx.Source{Name: "a", Open: func(ctx context.Context) (_ data.DB, err error) {
				opened, err = datasqlite.Open(ctx, datasqlite.Config{Path: datasqlite.Memory})
				return opened, err
			}}
		}),
		datafx.AsSource(func() datafx.Source {
			return datafx.Source{Name: "b", Open: func(context.Context) (data.DB, error) { return nil, boom }}
		}),
	))
	require.ErrorIs(t, app.Err(), boom)
	require.ErrorContains(t, app.Err(), `source "b"`)
	require.Error(t, opened.Ping(t.Context()))
}

func TestNamesAreUnique(t *testing.T) {
	t.Parallel()
	app := fx.New(fx.NopLogger, datafx.Module, fx.Provide(source("a", datasqlite.Memory), source("a", datasqlite.Memory)))
	require.ErrorContains(t, app.Err(), `two sources are named "a"`)
}

func TestARunnerThatEndsStopsTheApplication(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	app := fx.New(fx.NopLogger, datafx.Module, fx.Provide(datafx.AsRunner(func() datafx.Runner {
		return datafx.Runner{Name: "r", Run: func(context.Context) error { return boom }}
	})))
	require.NoError(t, app.Start(t.Context()))
	require.Equal(t, 1, (<-app.Wait()).ExitCode)
	err := app.Stop(t.Context())
	require.ErrorIs(t, err, boom)
	require.ErrorContains(t, err, `"r" ended by itself`)
}

func Example() {
	app := fx.New(fx.NopLogger, datafx.Module,
		fx.Provide(datafx.AsSource(func() datafx.Source {
			return datafx.Source{Name: "orders", Open: func(ctx context.Context) (data.DB, error) {
				return datasqlite.Open(ctx, datasqlite.Config{Path: datasqlite.Memory})
			}}
		})),
		fx.Invoke(func(sources *data.Sources) { fmt.Println(sources.Names()) }),
	)
	ctx := context.Background()
	fmt.Println(app.Start(ctx), app.Stop(ctx))
	// Output:
	// [orders]
	// <nil> <nil>
}
