package datatest

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
)

func exitGoroutine() { runtime.Goexit() }

func rowsAffected(t *testing.T, db data.DB) {
	require.NoError(t, insert(t.Context(), db, 1))
	require.NoError(t, insert(t.Context(), db, 2))
	for sql, want := range map[string]int64{
		"update accounts set balance = 5":                                2,
		"update accounts set balance = 5 where id = 2":                   1,
		"update accounts set balance = 5 where id = 3":                   0,
		"insert into accounts values (1, 'x', 1) on conflict do nothing": 0,
	} {
		n, err := db.Exec(t.Context(), sql)
		require.NoError(t, err)
		require.Equal(t, want, n, sql)
	}
}

func noRows(t *testing.T, db data.DB) {
	var id int64
	require.ErrorIs(t, db.QueryRow(t.Context(), "select id from accounts").Scan(&id), data.ErrNoRows)
	require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		require.ErrorIs(t, tx.QueryRow(ctx, "select id from accounts").Scan(&id), data.ErrNoRows)
		return nil
	}))
	require.Error(t, db.QueryRow(t.Context(), "select id from nowhere").Scan(&id))
	require.NotErrorIs(t, db.QueryRow(t.Context(), "select id from nowhere").Scan(&id), data.ErrNoRows)
}

func readsRows(t *testing.T, db data.DB) {
	for id := range int64(5) {
		require.NoError(t, insert(t.Context(), db, id))
	}
	require.Equal(t, []int64{0, 1, 2, 3, 4}, ids(t, db))
	for range 50 { // rows given up half-way hold nothing once closed
		rows, err := db.Query(t.Context(), "select id from accounts")
		require.NoError(t, err)
		require.True(t, rows.Next())
		require.NoError(t, rows.Close())
		require.False(t, rows.Next())
	}
	var first int64
	require.NoError(t, db.QueryRow(t.Context(), "select id from accounts order by id desc").Scan(&first), "further rows are ignored")
	require.EqualValues(t, 4, first)
}

func repeatedPlaceholder(t *testing.T, db data.DB) {
	must(t, db, "insert into accounts (id, owner, balance) values ($2, $1, $2)", "ann", int64(7))
	var id, balance int64
	var owner string
	require.NoError(t, db.QueryRow(t.Context(),
		"select id, owner, balance from accounts where owner = $2 and balance = $1 and id = $1", int64(7), "ann").Scan(&id, &owner, &balance))
	require.Equal(t, []any{int64(7), "ann", int64(7)}, []any{id, owner, balance})
	require.NoError(t, db.QueryRow(t.Context(), "select owner from accounts where owner <> '$1' and id = $1", int64(7)).Scan(&owner))
	_, err := db.Exec(t.Context(), "delete from accounts where id = $1", 7, 8)
	require.Error(t, err, "an argument too many is a mistake")
	_, err = db.Exec(t.Context(), "delete from accounts where id = $1")
	require.Error(t, err, "so is one too few")
}

func script(t *testing.T, db data.DB) {
	must(t, db, "create table a (x bigint); insert into a values (1); insert into a values (2)")
	var n int64
	require.NoError(t, db.QueryRow(t.Context(), "select sum(x) from a").Scan(&n))
	require.EqualValues(t, 3, n)
}

func returningOutsideTx(t *testing.T, db data.DB) {
	var id int64
	const add = "insert into accounts (id, owner, balance) values ($1, 'x', 0) returning id"
	require.NoError(t, db.QueryRow(t.Context(), add, 1).Scan(&id))
	require.Equal(t, data.KindUnique, data.KindOf(db.QueryRow(t.Context(), add, 1).Scan(&id)))
	rows, err := db.Query(t.Context(), "update accounts set balance = 9 returning balance")
	require.NoError(t, err)
	require.NoError(t, rows.Close(), "closing without reading commits too")
	require.NoError(t, db.QueryRow(t.Context(), "select balance from accounts").Scan(&id))
	require.EqualValues(t, 9, id)
	require.NoError(t, insert(t.Context(), db, 2), "the writer is free again")
}

func kinds(t *testing.T, db data.DB) {
	must(t, db, "create table child (id bigint primary key, account bigint not null references accounts (id), tag text unique)")
	require.NoError(t, insert(t.Context(), db, 1))
	must(t, db, "insert into child values (1, 1, 'a')")
	for _, c := range []struct {
		sql  string
		want data.Kind
	}{
		{"insert into accounts values (1, 'x', 1)", data.KindUnique},
		{"insert into child values (2, 1, 'a')", data.KindUnique},
		{"insert into accounts values (2, 'x', -1)", data.KindConstraint},
		{"insert into accounts values (2, null, 1)", data.KindConstraint},
		{"insert into child values (2, 99, 'b')", data.KindConstraint},
		{"delete from accounts", data.KindConstraint},
		{"selekt 1", data.KindOther},
		{"insert into nowhere values (1)", data.KindOther},
	} {
		_, err := db.Exec(t.Context(), c.sql)
		require.Error(t, err, c.sql)
		require.Equal(t, c.want, data.KindOf(err), "%s: %v", c.sql, err)
		require.False(t, data.Retryable(err), c.sql)
		var e *data.Error
		require.ErrorAs(t, err, &e, c.sql)
		require.NotEmpty(t, e.Code)
	}
}

func values(t *testing.T, db data.DB) {
	type kind string
	document, binary := "text", "blob"
	if db.Dialect() == data.Postgres {
		document, binary = "jsonb", "bytea"
	}
	must(t, db, "create table v (a bigint, b text, c "+binary+", d boolean, e double precision, f "+document+")")
	at := time.Date(2026, 2, 28, 23, 59, 59, 123456000, time.UTC)
	for _, c := range []struct {
		a int64
		b string
		c []byte
		d bool
		e float64
		f map[string]any
	}{
		{0, "", []byte{}, false, 0, map[string]any{}},
		{math.MaxInt64, "naïve ☃ 'quoted' $1 ?", []byte{0, 1, 255}, true, math.MaxFloat64, map[string]any{"a": []any{"b", 1.0}}},
		{math.MinInt64, strings.Repeat("x", 10_000), []byte("text"), true, -0.1, map[string]any{"n": nil}},
		{at.UnixMicro(), string(kind("k")), []byte{0}, false, math.SmallestNonzeroFloat64, map[string]any{"☃": true}},
	} {
		must(t, db, "delete from v")
		raw, err := json.Marshal(c.f)
		require.NoError(t, err)
		must(t, db, "insert into v values ($1, $2, $3, $4, $5, $6)", c.a, kind(c.b), c.c, c.d, c.e, string(raw))
		got := c
		var f []byte
		require.NoError(t, db.QueryRow(t.Context(), "select a, b, c, d, e, f from v").Scan(&got.a, &got.b, &got.c, &got.d, &got.e, &f))
		if got.c == nil {
			got.c = []byte{} // an empty value may come back as nil
		}
		got.f = nil
		require.NoError(t, json.Unmarshal(f, &got.f))
		require.Equal(t, c, got)
	}
	var micros int64
	require.NoError(t, db.QueryRow(t.Context(), "select a from v").Scan(&micros))
	require.True(t, time.UnixMicro(micros).Equal(at))
	must(t, db, "create table times (at timestamp with time zone)")
	if db.Dialect() == data.SQLite {
		must(t, db, "drop table times; create table times (at timestamp)")
	}
	must(t, db, "insert into times values ($1)", at.In(time.FixedZone("", 3600)))
	var back time.Time
	require.NoError(t, db.QueryRow(t.Context(), "select at from times").Scan(&back))
	require.True(t, back.Equal(at), "%s", back)
}

func null(t *testing.T, db data.DB) {
	must(t, db, "create table n (a bigint, b text)")
	var none *string
	must(t, db, "insert into n values ($1, $2)", nil, none)
	a, b := new(int64), new(string)
	require.NoError(t, db.QueryRow(t.Context(), "select a, b from n").Scan(&a, &b))
	require.Nil(t, a)
	require.Nil(t, b)
	var plain int64
	require.Error(t, db.QueryRow(t.Context(), "select a from n").Scan(&plain), "null fits no plain int64")
	must(t, db, "update n set a = $1, b = $2", int64(5), "five")
	require.NoError(t, db.QueryRow(t.Context(), "select a, b from n").Scan(&a, &b))
	require.Equal(t, []any{int64(5), "five"}, []any{*a, *b})
}

func largeValues(t *testing.T, db data.DB) {
	column := "blob"
	if db.Dialect() == data.Postgres {
		column = "bytea"
	}
	must(t, db, "create table large (c "+column+")")
	want := make([]byte, 3<<20)
	for i := range want {
		want[i] = byte(i * 7)
	}
	must(t, db, "insert into large values ($1)", want)
	var got []byte
	require.NoError(t, db.QueryRow(t.Context(), "select c from large").Scan(&got))
	require.True(t, bytes.Equal(want, got))
}

func dialect(t *testing.T, db data.DB) {
	require.Contains(t, []data.Dialect{data.Postgres, data.SQLite}, db.Dialect())
	require.NoError(t, db.InTx(t.Context(), func(_ context.Context, tx data.Tx) error {
		require.Equal(t, db.Dialect(), tx.Dialect())
		require.NotNil(t, tx.Unwrap())
		return nil
	}))
}

func manyReaders(t *testing.T, db data.DB) {
	require.NoError(t, insert(t.Context(), db, 1))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			var n int64
			for range 10 {
				if err := db.QueryRow(t.Context(), "select count(*) from accounts where id = $1", 1).Scan(&n); err != nil || n != 1 {
					t.Errorf("%d, %v", n, err)
				}
			}
		})
	}
	wg.Wait()
}
