package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func server(t *testing.T) string {
	t.Helper()
	dsn := os.Getenv("MMF_TEST_POSTGRES_DSN")
	if dsn == "" {
		t.Skip("needs PostgreSQL: run it through withservers")
	}
	return dsn
}

func TestEveryContenderDoesTheWork(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	err := run(t.Context(), options{
		dsn: server(t), only: "mmf,naive,dbos,river,ceiling", levels: "8", rounds: 1,
		load: load{warm: 50 * time.Millisecond, measure: 500 * time.Millisecond},
	}, &out)
	require.NoError(t, err, out.String())
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, rival := range []string{"naive", "dbos", "river", "ceiling"} {
		require.Regexp(t, `^ratio mmf/`+rival+` in-flight=8 \d+\.\d\d$`, lines[len(lines)-4+i])
	}
}

// forgetful acknowledges sagas and writes down some of them.
type forgetful struct {
	engine
	n int
}

func (f *forgetful) saga(ctx context.Context, o order) (order, error) {
	if f.n++; f.n%3 == 0 {
		return finished(o), nil
	}
	return f.engine.saga(ctx, o)
}

func TestAnEngineThatForgetsASagaHasNoFigure(t *testing.T) {
	t.Parallel()
	l, err := newLab(t.Context(), server(t))
	require.NoError(t, err)
	t.Cleanup(l.close)
	chosen, err := choose([]string{"naive"})
	require.NoError(t, err)
	c := chosen[0]
	honest := c.open
	c.open = func(ctx context.Context, dsn string) (engine, error) {
		e, err := honest(ctx, dsn)
		return &forgetful{engine: e}, err
	}
	_, err = measure(t.Context(), l, c, 1, load{measure: 100 * time.Millisecond}, "")
	require.ErrorContains(t, err, "sagas were acknowledged, but the database holds")
}

// wrong ends every saga in a state that no saga should have.
type wrong struct{}

func (wrong) saga(_ context.Context, o order) (order, error) { return o, nil }
func (wrong) close(context.Context) error                    { return nil }

func TestAnEngineWithAWrongResultHasNoFigure(t *testing.T) {
	t.Parallel()
	_, _, err := drive(t.Context(), wrong{}, 2, load{measure: time.Minute})
	require.ErrorContains(t, err, "ended with")
}

func TestARecordTooManyIsNoticed(t *testing.T) {
	t.Parallel()
	dsn := server(t)
	db, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close(context.WithoutCancel(t.Context())) })
	c := contender{records: 4, count: "select 2, 9"}
	require.Error(t, verify(t.Context(), db, c, 2))
	c.count = "select 2, 8"
	require.NoError(t, verify(t.Context(), db, c, 2))
	require.Error(t, verify(t.Context(), db, c, 3))
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	require.EqualValues(t, 50, quantile(hundred, 0.50))
	require.EqualValues(t, 95, quantile(hundred, 0.95))
	require.EqualValues(t, 99, quantile(hundred, 0.99))
	require.EqualValues(t, 7, quantile([]time.Duration{7}, 0.99))
	require.EqualValues(t, 1, quantile([]time.Duration{1, 2}, 0.5))
}

func TestReportComparesMediansAndLeavesOutWhatFailed(t *testing.T) {
	t.Parallel()
	var r results
	for _, x := range []float64{900, 300, 600} {
		r.add("mmf", 64, figures{perSecond: x, p50: time.Millisecond}, nil)
		r.add("naive", 64, figures{perSecond: x / 3, p50: 2 * time.Millisecond}, nil)
	}
	r.add("dbos", 64, figures{}, errors.New("lost a saga"))
	r.add("dbos", 64, figures{perSecond: 1, p50: 1}, nil)
	var out bytes.Buffer
	require.ErrorContains(t, r.report(&out), "dbos with 64 in flight: lost a saga")
	require.True(t, strings.HasSuffix(out.String(), "latency mmf/naive in-flight=64 0.50\nratio mmf/naive in-flight=64 3.00\n"), out.String())
	require.NotContains(t, out.String(), "mmf/dbos")
}
