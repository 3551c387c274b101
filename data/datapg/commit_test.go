package datapg_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datapg"
	"github.com/marty-framework/mmf/data/datatest"
)

// cutter is a proxy that knows one thing of the protocol: how the message with COMMIT looks.
type cutter struct {
	net.Listener
	target string
	// before cuts instead of forwarding COMMIT, after forwards it and swallows the reply.
	before, after atomic.Bool
	fired         atomic.Int32
}

func newCutter(t *testing.T, target string) *cutter {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cutter{Listener: l, target: target}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { c.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return c
}

func (c *cutter) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", c.target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	var swallow atomic.Bool
	replies := make(chan struct{})
	go func() {
		defer close(replies)
		buf := make([]byte, 32<<10)
		for {
			n, err := server.Read(buf)
			if swallow.Load() {
				_ = client.Close() // the reply is here, so the server has committed
				return
			}
			if err != nil {
				_ = client.Close()
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			break
		}
		if bytes.Contains(buf[:n], []byte("commit\x00")) {
			if c.before.Load() {
				c.fired.Add(1)
				break
			}
			if c.after.Load() {
				c.fired.Add(1)
				swallow.Store(true)
			}
		}
		if _, err := io.Copy(server, bytes.NewReader(buf[:n])); err != nil {
			break
		}
	}
	_ = client.Close()
	_ = server.Close()
	<-replies
}

func TestALostCommitReplyIsUnknown(t *testing.T) {
	t.Parallel()
	dsn := datatest.PostgresDSN(t)
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	proxy := newCutter(t, u.Host)
	direct := open(t, datapg.Config{DSN: dsn})
	_, err = direct.Exec(t.Context(), "create table t (a bigint)")
	require.NoError(t, err)
	u.Host = proxy.Addr().String()
	db := open(t, datapg.Config{DSN: u.String(), CommitTimeout: 5 * time.Second})

	for _, c := range []struct {
		name   string
		cut    *atomic.Bool
		stored bool
	}{{"before the server saw it", &proxy.before, false}, {"after the server did it", &proxy.after, true}} {
		fired := proxy.fired.Load()
		c.cut.Store(true)
		runs := 0
		err := db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
			runs++
			_, err := tx.Exec(ctx, "insert into t values (1)")
			return err
		})
		c.cut.Store(false)
		require.Equal(t, fired+1, proxy.fired.Load(), "the fault must have happened")
		require.ErrorIs(t, err, data.ErrOutcomeUnknown, c.name)
		require.Equal(t, data.KindUnknown, data.KindOf(err), c.name)
		require.False(t, data.Retryable(err), c.name)
		require.Equal(t, 1, runs, "an unknown outcome is not repeated")
		var n int
		require.Eventually(t, func() bool {
			require.NoError(t, direct.QueryRow(t.Context(), "select count(*) from t").Scan(&n))
			return (n == 1) == c.stored
		}, 5*time.Second, 5*time.Millisecond, c.name)
	}
	require.NoError(t, db.Ping(t.Context()), "the pool goes on with a new connection")
}
