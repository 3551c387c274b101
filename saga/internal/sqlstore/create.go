package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// Create starts a saga in any transaction. Nobody else writes under its fresh id, so it needs no fence; the mail tells the
// owner of the lane, whoever that is by then.
func (s *Store) Create(ctx context.Context, tx data.Tx, w saga.Write) error {
	rows, err := tx.Query(ctx, `select id from saga_lane where kind = $1 order by n`, w.Ref.Kind)
	if err != nil {
		return err
	}
	var lanes []int64
	if err := collect(rows, func() error {
		var id int64
		err := rows.Scan(&id)
		lanes = append(lanes, id)
		return err
	}); err != nil {
		return err
	}
	if len(lanes) == 0 {
		return fmt.Errorf("%w: %s", saga.ErrNotRegistered, w.Ref.Kind)
	}
	w.Ref.Lane = lanes[rand.IntN(len(lanes))]
	if err := s.insertKey(ctx, tx, w.Ref); err != nil {
		return err
	}
	if err := s.insertAttributes(ctx, tx, w); err != nil {
		return err
	}
	if err := s.insertFork(ctx, tx, w); err != nil {
		return err
	}
	entries, err := encode(w)
	if err != nil {
		return err
	}
	if _, err := s.insertJournal(ctx, tx, entries, "on conflict do nothing"); err != nil {
		return err
	}
	if w.Ticket != nil {
		if err := s.createQueued(ctx, tx, w); err != nil {
			return err
		}
	}
	err = s.Post(ctx, tx, saga.Mail{Saga: w.Ref.UID, Kind: saga.MailStart, Dedupe: "start"})
	if errors.Is(err, saga.ErrFinished) {
		return nil // a repetition; the saga has run meanwhile
	}
	return err
}
