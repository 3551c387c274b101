package sqlstore

import (
	"fmt"
	"strings"

	"github.com/marty-framework/mmf/saga"
)

// form says which parts a batch's statement has besides the journal. Few forms occur in practice, and each is prepared
// once per connection.
type form uint16

const (
	withNew   form = 1 << iota // sagas begin
	withEnd                    // sagas end
	withSleep                  // sagas fall asleep
	withWake                   // sagas are no longer asleep
	withMail                   // mail was taken in
	withAttrs                  // sagas that begin have attributes
	withStand                  // standings change
	withPlain                  // standings go
	forms     = 1 << iota
)

// statement is a batch as one statement: the fence, the books and the journal. It affects as many rows as the journal gets,
// so none means that the lease is fenced.
type statement struct {
	form form
	args []any
}

// newStatement gives nil for a batch that one statement cannot write: without records nothing would tell whether the fence
// held, and what a statement inserts it cannot delete. Queues need more than one; see leaveQueues.
func newStatement(l saga.Lease, b *batch) *statement {
	var f form
	records := 0
	for _, i := range b.todo {
		w := &b.writes[i]
		records += len(b.entries[i])
		if w.New && (w.End || !w.Sleep.IsZero()) || w.Ticket != nil || w.Leave {
			return nil
		}
		if w.New {
			f |= withNew
		}
		if len(w.MailDone) > 0 {
			f |= withMail
		}
		if w.New && len(w.Attributes) > 0 {
			f |= withAttrs
		}
		switch {
		case w.Standing == nil:
		case w.Standing.State == "":
			f |= withPlain
		default:
			f |= withStand
		}
		if w.Wake {
			f |= withWake
		}
		switch {
		case w.End:
			f |= withEnd
		case !w.Sleep.IsZero():
			f |= withSleep
		}
	}
	if records == 0 {
		return nil
	}
	st := &statement{form: f, args: make([]any, 0, 20)}
	st.args = append(st.args, l.Node, l.Epoch)
	st.journal(b, records)
	if f&withNew != 0 {
		st.begin(b)
	}
	st.books(b)
	st.search(b)
	return st
}

func (st *statement) journal(b *batch, records int) {
	uids, seqs, epochs := make([][16]byte, 0, records), make([]int64, 0, records), make([]int64, 0, records)
	kinds, bodies := make([]int16, 0, records), make([]string, 0, records)
	for _, i := range b.todo {
		for _, e := range b.entries[i] {
			uids, seqs, epochs = append(uids, e.uid), append(seqs, e.seq), append(epochs, e.epoch)
			kinds, bodies = append(kinds, e.kind), append(bodies, e.body)
		}
	}
	st.args = append(st.args, uids, seqs, epochs, kinds, bodies)
}

func (st *statement) begin(b *batch) {
	var ids, kinds, hashes []string
	var uids [][16]byte
	var lanes []int64
	for _, i := range b.todo {
		if r := &b.writes[i].Ref; b.writes[i].New {
			ids, kinds, hashes = append(ids, string(r.ID)), append(kinds, r.Kind), append(hashes, r.InputHash)
			uids, lanes = append(uids, r.UID), append(lanes, r.Lane)
		}
	}
	st.args = append(st.args, ids, uids, kinds, lanes, hashes)
}

func (st *statement) books(b *batch) {
	var ended, woken, asleep [][16]byte
	var lanes, dues, mail []int64
	for _, i := range b.todo {
		w := &b.writes[i]
		mail = append(mail, w.MailDone...)
		switch {
		case w.End:
			ended = append(ended, w.Ref.UID)
		case !w.Sleep.IsZero():
			asleep, lanes, dues = append(asleep, w.Ref.UID), append(lanes, w.Ref.Lane), append(dues, w.Sleep.UnixMicro())
		}
		if w.Wake {
			woken = append(woken, w.Ref.UID)
		}
	}
	if st.form&withEnd != 0 {
		st.args = append(st.args, ended)
	}
	if st.form&withSleep != 0 {
		st.args = append(st.args, asleep, lanes, dues)
	}
	if st.form&withWake != 0 {
		st.args = append(st.args, woken)
	}
	if st.form&withMail != 0 {
		st.args = append(st.args, mail)
	}
}

// search is what searches are to know.
func (st *statement) search(b *batch) {
	if st.form&(withAttrs|withStand|withPlain) == 0 {
		return
	}
	var tagged, standing, plain [][16]byte
	var names, values, states, steps, reasons []string
	var since []int64
	for _, i := range b.todo {
		w := &b.writes[i]
		for _, a := range w.Attributes {
			tagged, names, values = append(tagged, w.Ref.UID), append(names, a.Name), append(values, a.Value)
		}
		switch now := w.Standing; {
		case now == nil:
		case now.State == "":
			plain = append(plain, w.Ref.UID)
		default:
			standing, states, steps = append(standing, w.Ref.UID), append(states, string(now.State)), append(steps, now.Step)
			reasons, since = append(reasons, now.Reason), append(since, now.Since.UnixMicro())
		}
	}
	if st.form&withAttrs != 0 {
		st.args = append(st.args, tagged, names, values)
	}
	if st.form&withStand != 0 {
		st.args = append(st.args, standing, states, steps, reasons, since)
	}
	if st.form&withPlain != 0 {
		st.args = append(st.args, plain)
	}
}

// text writes the statement of a form, with its arguments in the order in which newStatement gives them.
func (f form) text() string {
	n := 2
	arg := func(typ string) string {
		n++
		return fmt.Sprintf("$%d::%s[]", n, typ)
	}
	var q strings.Builder
	q.WriteString("with fence as (select 1 from saga_node where node = $1 and epoch = $2 for share)")
	journal := []string{arg("uuid"), arg("bigint"), arg("bigint"), arg("smallint"), arg("text")}
	if f&withNew != 0 {
		id, uid, kind, lane, hash := arg("text"), arg("uuid"), arg("text"), arg("bigint"), arg("text")
		fmt.Fprintf(&q, `, key as (insert into saga_key (id, uid, kind, lane, input_hash)
			select u.* from fence, unnest(%s, %s, %s, %s, %s) u)`, id, uid, kind, lane, hash)
		fmt.Fprintf(&q, `, live as (insert into saga_active (uid, lane) select u.* from fence, unnest(%s, %s) u)`, uid, lane)
	}
	if f&withEnd != 0 {
		fmt.Fprintf(&q, `, ended as (delete from saga_active where uid = any(%s) and exists (select from fence))`, arg("uuid"))
	}
	if f&withSleep != 0 {
		fmt.Fprintf(&q, `, asleep as (insert into saga_timer (uid, lane, due) select u.* from fence, unnest(%s, %s, %s) u
			on conflict (uid) do update set due = excluded.due)`, arg("uuid"), arg("bigint"), arg("bigint"))
	}
	if f&withWake != 0 {
		fmt.Fprintf(&q, `, awake as (delete from saga_timer where uid = any(%s) and exists (select from fence))`, arg("uuid"))
	}
	if f&withMail != 0 {
		fmt.Fprintf(&q, `, taken as (delete from saga_mail where id = any(%s) and exists (select from fence))`, arg("bigint"))
	}
	if f&withAttrs != 0 {
		fmt.Fprintf(&q, `, attrs as (insert into saga_attr (uid, name, value) select u.* from fence, unnest(%s, %s, %s) u)`,
			arg("uuid"), arg("text"), arg("text"))
	}
	if f&withStand != 0 {
		fmt.Fprintf(&q, `, standing as (insert into saga_state (uid, state, step, reason, since) select u.* from fence, unnest(%s, %s, %s, %s, %s) u
			on conflict (uid) do update set state = excluded.state, step = excluded.step, reason = excluded.reason, since = excluded.since,
				stray = false)`,
			arg("uuid"), arg("text"), arg("text"), arg("text"), arg("bigint"))
	}
	if f&withPlain != 0 {
		fmt.Fprintf(&q, `, plain as (delete from saga_state where uid = any(%s) and exists (select from fence))`, arg("uuid"))
	}
	fmt.Fprintf(&q, ` insert into saga_journal (uid, seq, epoch, kind, body) select u.* from fence, unnest(%s) u`, strings.Join(journal, ", "))
	return q.String()
}
