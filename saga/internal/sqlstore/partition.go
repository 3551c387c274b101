package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// On PostgreSQL the journal is partitioned by ranges of the saga's id, which begins with the time of the start, so that
// forgetting old sagas is dropping a table. The bounds of a partition are whole days and stand in its name.
const (
	partPrefix = "saga_journal_p"
	partFormat = "20060102"
	aDay       = 24 * time.Hour
	// aheadOf is for how many partitions' time rooms is made in advance.
	aheadOf = 2
	// maxStray is how many journal rows are moved out of the default partition at once, while it is locked.
	maxStray = 10_000
	// upkeepLock is held by whoever changes partitions or forgets sagas, one at a time.
	upkeepLock = 0x73616761
	// shortLock is how long upkeep waits for a lock. Writes queue behind it meanwhile.
	shortLock = "set local lock_timeout = '200ms'"
)

// part is a partition of the journal: the sagas that began from from until to.
type part struct{ from, to time.Time }

func (p part) name() string {
	return partPrefix + p.from.Format(partFormat) + "_" + p.to.Format(partFormat)
}

func parsePart(name string) (part, bool) {
	from, to, ok := strings.Cut(strings.TrimPrefix(name, partPrefix), "_")
	f, err1 := time.Parse(partFormat, from)
	t, err2 := time.Parse(partFormat, to)
	return part{f, t}, ok && errors.Join(err1, err2) == nil
}

// firstUID is the smallest id that a saga which starts at t can have.
func firstUID(t time.Time) (u saga.UID) {
	ms := max(t.UnixMilli(), 0)
	for i := range 6 {
		u[i] = byte(ms >> (8 * (5 - i)))
	}
	return u
}

// width is how long a partition lasts: what is forgotten goes partition by partition, so a short memory wants short ones.
func width(keep time.Duration) time.Duration {
	if keep > 0 && keep < 4*7*aDay {
		return aDay
	}
	return 7 * aDay
}

// partitions lists the journal's partitions but the default one, oldest first.
func (s *Store) partitions(ctx context.Context, q data.Querier) ([]part, error) {
	rows, err := q.Query(ctx, `select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid
		where i.inhparent = 'saga_journal'::regclass order by 1`)
	if err != nil {
		return nil, err
	}
	var parts []part
	err = collect(rows, func() error {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		if p, ok := parsePart(name); ok {
			parts = append(parts, p)
		}
		return nil
	})
	return parts, err
}

// makeRoom creates the partitions of the near future. Until then, and should it ever fail for long, the default partition
// takes the rows.
func (s *Store) makeRoom(ctx context.Context, keep time.Duration) error {
	us, err := s.now(ctx, s.work)
	if err != nil {
		return err
	}
	parts, err := s.partitions(ctx, s.work)
	if err != nil {
		return err
	}
	w := width(keep)
	from := time.UnixMicro(us).UTC().Truncate(w)
	if len(parts) > 0 {
		from = parts[len(parts)-1].to
	}
	for until := time.UnixMicro(us).Add(aheadOf * w); from.Before(until); {
		p := part{from, from.Truncate(w).Add(w)}
		if err := s.attach(ctx, p); err != nil {
			return fmt.Errorf("sagastore: partition %s: %w", p.name(), err)
		}
		from = p.to
	}
	return nil
}

// attach creates a partition. Attaching locks the default partition, which is looked through, and lets writes of all others
// pass. Rows of the new range that ended up in the default partition move; too many of them stay there until they are
// forgotten, and the range has no partition.
func (s *Store) attach(ctx context.Context, p part) error {
	return s.work.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock($1)`, upkeepLock); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, shortLock); err != nil {
			return err
		}
		var there bool
		if err := tx.QueryRow(ctx, `select to_regclass($1) is not null`, p.name()).Scan(&there); err != nil || there {
			return err
		}
		from, to := firstUID(p.from), firstUID(p.to)
		var stray int
		if err := tx.QueryRow(ctx, `select count(*) from (select from saga_journal_default where uid >= $1 and uid < $2 limit $3) s`,
			s.uid(from), s.uid(to), maxStray+1).Scan(&stray); err != nil || stray > maxStray {
			return err
		}
		text := []string{fmt.Sprintf(`create table %s (like saga_journal)`, p.name())}
		if stray > 0 {
			text = append(text,
				`lock table saga_journal_default in access exclusive mode`,
				fmt.Sprintf(`with moved as (delete from saga_journal_default where uid >= '%[2]s' and uid < '%[3]s' returning *)
					insert into %[1]s select * from moved`, p.name(), from, to))
		}
		text = append(text, fmt.Sprintf(`alter table saga_journal attach partition %s for values from ('%s') to ('%s')`, p.name(), from, to))
		for _, q := range text {
			if _, err := tx.Exec(ctx, q); err != nil {
				return err
			}
		}
		return nil
	})
}
