package sqltext_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/internal/sqltext"
)

func TestReadOnlyTellsReadersFromWriters(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]bool{
		"select 1":                                      true,
		"  -- update\n SELECT 1":                        true,
		"/* insert */ Values (1)":                       true,
		"with a as (select 1) select * from a":          true,
		"with a as (select 'delete') select * from a":   true,
		"with a as (insert into t values (1)) select 1": false,
		"explain select 1":                              true,
		"explain analyze delete from t":                 false,
		"insert into t values (1) returning id":         false,
		"update t set a = 1":                            false,
		"delete from t":                                 false,
		"create table t (a int)":                        false,
		"":                                              false,
		"-- nothing":                                    false,
		"with a as (select \"update\" from t) select 1": true,
		"pragma journal_mode":                           true,
		"call p()":                                      false,
	} {
		require.Equal(t, want, sqltext.ReadOnly(sql), "%q", sql)
	}
}

func TestPlaceholdersFindsTheHighest(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]int{
		"":                                       0,
		"select 1":                               0,
		"select $1":                              1,
		"values ($2,$10, $2)":                    10,
		"select '$3', \"$4\", /* $5 */ $1 -- $6": 1,
		"select a$7":                             0,
		"select $a":                              0,
	} {
		require.Equal(t, want, sqltext.Placeholders(sql), "%q", sql)
	}
}

func FuzzReadOnlyEnds(f *testing.F) {
	f.Add("select 'unfinished")
	f.Add("/* unfinished")
	f.Fuzz(func(_ *testing.T, sql string) {
		sqltext.ReadOnly(sql)
		sqltext.Placeholders(sql)
	})
}
