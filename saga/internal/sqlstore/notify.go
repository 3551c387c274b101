package sqlstore

import (
	"context"
	"fmt"

	"github.com/marty-framework/mmf/saga"
)

// channel is where processes that share a database call each other.
const channel = "mmf_saga"

// listener is a database that can listen; datapg.DB does.
type listener interface {
	Listen(ctx context.Context, channel string, ready func(), heard func(payload string)) error
}

// callable is a store whose database carries calls.
type callable struct {
	*Store
	ear listener
}

var _ saga.Caller = callable{}

// Callable makes a store carry calls between processes, if its database can.
func Callable(s *Store) saga.Store {
	if ear, ok := s.work.(listener); ok {
		return callable{s, ear}
	}
	return s
}

// Call tells everybody who listens. It is a transaction of its own: one that notifies takes a lock of the whole server for
// its commit, so those that write never do.
func (c callable) Call(ctx context.Context, message string) error {
	_, err := c.work.Exec(ctx, `select pg_notify($1, $2)`, channel, message)
	return err
}

// Listen hears what others tell.
func (c callable) Listen(ctx context.Context, ready func(), heard func(message string)) error {
	if err := c.ear.Listen(ctx, channel, ready, heard); err != nil {
		return fmt.Errorf("sagastore: calls of other nodes are not heard, they are found by polling: %w", err)
	}
	return nil
}
