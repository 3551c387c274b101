package sqlstore

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// Post leaves mail for a live saga.
func (s *Store) Post(ctx context.Context, q data.Querier, m saga.Mail) error {
	var lane int64
	err := q.QueryRow(ctx, `select lane from saga_active where uid = $1`, s.uid(m.Saga)).Scan(&lane)
	if errors.Is(err, data.ErrNoRows) {
		return saga.ErrFinished
	}
	if err != nil {
		return err
	}
	insert := `insert into saga_mail (lane, uid, kind, name, dedupe, payload, rejected, actor, reason, at)
		values ($1, $2, $3, $4, nullif($5, ''), $6, $7, $8, $9, $10) on conflict do nothing`
	args := []any{lane, s.uid(m.Saga), string(m.Kind), m.Name, m.Dedupe, string(m.Payload), m.Rejected, m.Actor, m.Reason}
	if s.pg {
		insert = strings.Replace(insert, "$10", "(extract(epoch from clock_timestamp()) * 1000000)::bigint", 1)
	} else {
		args = append(args, time.Now().UnixMicro())
	}
	_, err = q.Exec(ctx, insert, args...)
	return err
}

const mailColumns = `id, at, uid, lane, kind, name, coalesce(dedupe, ''), payload, rejected, actor, reason`

// Mail returns a page of mail for lanes.
func (s *Store) Mail(ctx context.Context, lanes []int64, after int64, limit int) ([]saga.Mail, error) {
	q := `select ` + mailColumns + ` from saga_mail where lane = {any:$1} and id > $2 order by id limit $3`
	if s.pg {
		q = `select w.* from unnest($1::bigint[]) as l(lane) cross join lateral (
			select ` + mailColumns + ` from saga_mail m where m.lane = l.lane and m.id > $2 order by m.id limit $3) w order by w.id limit $3`
	}
	return s.mail(ctx, q, s.ints(lanes), after, limit)
}

// MailOf returns the mail of one saga.
func (s *Store) MailOf(ctx context.Context, uid saga.UID) ([]saga.Mail, error) {
	return s.mail(ctx, `select `+mailColumns+` from saga_mail where uid = $1 order by id`, s.uid(uid))
}

func (s *Store) mail(ctx context.Context, query string, args ...any) ([]saga.Mail, error) {
	rows, err := s.work.Query(ctx, s.sql(query), args...)
	if err != nil {
		return nil, err
	}
	var out []saga.Mail
	err = collect(rows, func() error {
		var m saga.Mail
		var payload string
		var at int64
		err := rows.Scan(&m.ID, &at, uidScanner{&m.Saga}, &m.Lane, &m.Kind, &m.Name, &m.Dedupe, &payload, &m.Rejected, &m.Actor, &m.Reason)
		m.At = time.UnixMicro(at).UTC()
		if payload != "" {
			m.Payload = []byte(payload)
		}
		out = append(out, m)
		return err
	})
	return out, err
}

// DropMail removes mail.
func (s *Store) DropMail(ctx context.Context, ids []int64) error {
	_, err := s.work.Exec(ctx, s.sql(`delete from saga_mail where id = {any:$1}`), s.ints(ids))
	return err
}
