package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

const (
	// forgetBatch is how many sagas one transaction looks at.
	forgetBatch = 1000
	// forgetBatches and dropParts bound a round.
	forgetBatches = 20
	dropParts     = 4
	// maxCarried is how many live sagas' journals are carried over when their partition is dropped; with more of them the
	// partition stays.
	maxCarried = 1000
)

var _ saga.Keeper = (*Store)(nil)

// errBusy says that another node does the same just now.
var errBusy = errors.New("sagastore: another node is at it")

// Upkeep makes room for the journal's future and does one round of forgetting.
//
// The key of a saga goes first, in small transactions, and with it the saga: nobody finds it any more. On PostgreSQL its
// journal goes with the whole partition, when every saga of that time is forgotten. Sagas that still live keep their keys;
// their journals move to the default partition, from which they are deleted when they are forgotten one by one.
func (s *Store) Upkeep(ctx context.Context, keep time.Duration, after saga.UID) (saga.Purged, error) {
	var done saga.Purged
	if s.pg {
		if err := s.makeRoom(ctx, keep); err != nil {
			return done, err
		}
	}
	if keep <= 0 {
		return done, nil
	}
	us, err := s.now(ctx, s.work)
	if err != nil {
		return done, err
	}
	before := time.UnixMicro(us).Add(-keep)
	err = s.forgetKeys(ctx, after, before, &done)
	if err == nil && s.pg && !done.More {
		err = s.dropPartitions(ctx, before, &done)
	}
	if errors.Is(err, errBusy) {
		return saga.Purged{}, nil
	}
	return done, err
}

// alone makes a transaction the only one of its sort, or gives up.
func (s *Store) alone(ctx context.Context, tx data.Tx) error {
	if !s.pg {
		return nil // one writer
	}
	var mine bool
	if err := tx.QueryRow(ctx, `select pg_try_advisory_xact_lock($1)`, upkeepLock).Scan(&mine); err != nil {
		return err
	}
	if !mine {
		return errBusy
	}
	return nil
}

func (s *Store) forgetKeys(ctx context.Context, after saga.UID, before time.Time, done *saga.Purged) error {
	for range forgetBatches {
		var seen, gone int
		var last saga.UID
		err := s.work.InTx(ctx, func(ctx context.Context, tx data.Tx) (err error) {
			if err := s.alone(ctx, tx); err != nil {
				return err
			}
			seen, gone, last, err = s.forgetSome(ctx, tx, after, firstUID(before))
			return err
		})
		if err != nil {
			return err
		}
		done.Sagas += gone
		if seen < forgetBatch {
			return nil
		}
		after = last
	}
	done.More, done.Next = true, after // there may be nothing but live ones up to here
	return nil
}

// perSaga are the tables with rows that belong to one saga each.
var perSaga = []string{"saga_key", "saga_attr", "saga_state", "saga_fork", "saga_mail", "saga_timer"}

// forgetSome forgets those of the next sagas that do not live, nor have a fork that lives and may need their journals.
func (s *Store) forgetSome(ctx context.Context, tx data.Tx, after, before saga.UID) (seen, gone int, last saga.UID, err error) {
	rows, err := tx.Query(ctx, `select k.uid, exists (select 1 from saga_active a where a.uid = k.uid)
		or exists (select 1 from saga_fork f join saga_active a on a.uid = f.uid where f.source = k.uid) from saga_key k
		where k.uid > $1 and k.uid < $2 order by k.uid limit $3`, s.uid(after), s.uid(before), forgetBatch)
	if err != nil {
		return 0, 0, last, err
	}
	var dead []saga.UID
	if err := collect(rows, func() error {
		var live bool
		if err := rows.Scan(uidScanner{&last}, &live); err != nil {
			return err
		}
		if seen++; !live {
			dead = append(dead, last)
		}
		return nil
	}); err != nil || len(dead) == 0 {
		return seen, 0, last, err
	}
	journal := "saga_journal"
	if s.pg {
		journal = "saga_journal_default" // those that were carried over; all others go with their partitions
	}
	for _, table := range append([]string{journal}, perSaga...) {
		if _, err := tx.Exec(ctx, s.sql(`delete from `+table+` where uid = {uids:$1}`), s.uids(dead)); err != nil {
			return 0, 0, last, err
		}
	}
	return seen, len(dead), last, nil
}

// dropPartitions drops those in which every saga is old enough.
func (s *Store) dropPartitions(ctx context.Context, before time.Time, done *saga.Purged) error {
	parts, err := s.partitions(ctx, s.work)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if p.to.After(before) {
			return nil
		}
		if len(done.Dropped) == dropParts {
			done.More, done.Next = true, firstUID(before)
			return nil
		}
		carried, held, err := s.dropPartition(ctx, p)
		if err != nil {
			return fmt.Errorf("sagastore: drop %s: %w", p.name(), err)
		}
		if held {
			done.Held = append(done.Held, p.name())
			continue
		}
		done.Carried += carried
		done.Dropped = append(done.Dropped, p.name())
	}
	return nil
}

// dropPartition drops a partition, after it has moved the journals of live sagas to the default one, all in one transaction
// that holds the journal for as long as that takes. Held says that too many live.
func (s *Store) dropPartition(ctx context.Context, p part) (carried int, held bool, err error) {
	from, to := s.uid(firstUID(p.from)), s.uid(firstUID(p.to))
	err = s.work.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		if err := s.alone(ctx, tx); err != nil {
			return err
		}
		var keys int // of the dead there are none any more, so these live
		if err := tx.QueryRow(ctx, `select count(*) from (select from saga_key where uid >= $1 and uid < $2 limit $3) k`,
			from, to, maxCarried+1).Scan(&keys); err != nil {
			return err
		}
		if carried, held = keys, keys > maxCarried; held {
			return nil
		}
		text := []string{shortLock, `lock table saga_journal in access exclusive mode`}
		if keys > 0 {
			text = append(text, fmt.Sprintf(`create temporary table saga_carried on commit drop as select j.* from %s j
				where exists (select from saga_key k where k.uid = j.uid)`, p.name()))
		}
		text = append(text, `alter table saga_journal detach partition `+p.name(), `drop table `+p.name())
		if keys > 0 {
			text = append(text, `insert into saga_journal select * from saga_carried`)
		}
		for _, q := range text {
			if _, err := tx.Exec(ctx, q); err != nil {
				return err
			}
		}
		return nil
	})
	return carried, held, err
}
