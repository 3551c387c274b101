package datasqlite_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datasqlite"
)

// A context that ends while a transaction begins must not leave the one writer inside of it.
func TestCancelledBeginFreesTheWriter(t *testing.T) {
	t.Parallel()
	db, err := datasqlite.Open(t.Context(), datasqlite.Config{Path: datasqlite.Memory})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	nothing := func(context.Context, data.Tx) error { return nil }
	for range 5000 {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); cancel() }()
		_ = db.InTx(ctx, nothing) // cancelled somewhere
		<-ended
		require.NoError(t, db.InTx(t.Context(), nothing))
	}
}
