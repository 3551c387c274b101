package saga

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/marty-framework/mmf/data"
)

// sealing is the store as the engine reads and writes payloads: they are plain above it and, where they are long or sensitive,
// sealed below. Whatever holds payloads goes through it.
type sealing struct{ e *Engine }

// seal gives what is stored of a write. It is done once per write: one that is repeated must be the same.
func (s sealing) seal(w Write) (Write, error) {
	def, own := s.e.defs[w.Ref.Kind], false
	for i := range w.Records {
		r := &w.Records[i]
		if len(r.Payload) == 0 {
			continue
		}
		sealed, err := seal(s.e.cfg.Codec, def.isSensitive(r), r.Payload, r.about(w.Ref))
		if err != nil {
			return w, err
		}
		if sealed == nil {
			continue
		}
		if !own {
			w.Records, own = slices.Clone(w.Records), true
		}
		w.Records[i].Payload, w.Records[i].Sealed = nil, sealed
	}
	return w, nil
}

func (s sealing) AppendTx(ctx context.Context, tx data.Tx, l Lease, w Write) error {
	w, err := s.seal(w)
	if err != nil {
		return err
	}
	return s.e.store.AppendTx(ctx, tx, l, w)
}

func (s sealing) Create(ctx context.Context, tx data.Tx, w Write) error {
	w, err := s.seal(w)
	if err != nil {
		return err
	}
	return s.e.store.Create(ctx, tx, w)
}

// Load opens what it reads. A history with a payload that cannot be opened ends before it, with the error.
func (s sealing) Load(ctx context.Context, sagas []UID) ([]History, error) {
	histories, err := s.e.store.Load(ctx, sagas)
	for i := range histories {
		s.open(&histories[i])
	}
	return histories, err
}

func (s sealing) open(h *History) {
	for i := range h.Records {
		r := &h.Records[i]
		if r.Sealed == nil {
			continue
		}
		payload, err := unseal(s.e.cfg.Codec, r.Sealed, r.about(h.Ref))
		if err != nil {
			h.Records, h.Err = h.Records[:i], fmt.Errorf("record %d: %w", r.Seq, err)
			return
		}
		r.Payload, r.Sealed = payload, nil
	}
}

// redacted stands for a sensitive payload where it is shown.
var redacted = json.RawMessage(`"[sensitive]"`)

// redact opens what is only compressed and hides what is sensitive.
func (s sealing) redact(h *History) {
	for i := range h.Records {
		if r := &h.Records[i]; len(r.Sealed) > 0 && r.Sealed[0] == codecMark {
			r.Payload, r.Sealed = redacted, nil
		}
	}
	s.open(h)
}

// Post refuses names that a store cannot keep; the rest it makes fit.
func (s sealing) Post(ctx context.Context, q data.Querier, m Mail) error {
	if !isText(m.Name) || !isText(m.Dedupe) {
		return fmt.Errorf("%w: %s %.40q, dedupe key %.40q: must be UTF-8, without NUL", ErrInvalidID, m.Kind, m.Name, m.Dedupe)
	}
	m.Payload, m.Actor, m.Reason = textOf(m.Payload), text(m.Actor), text(m.Reason)
	m, err := sealMail(s.e.cfg.Codec, m)
	if err != nil {
		return err
	}
	return s.e.store.Post(ctx, q, m)
}

func (s sealing) Mail(ctx context.Context, lanes []int64, after int64, limit int) ([]Mail, error) {
	mail, err := s.e.store.Mail(ctx, lanes, after, limit)
	unsealMail(s.e.cfg.Codec, mail)
	return mail, err
}

func (s sealing) MailOf(ctx context.Context, saga UID) ([]Mail, error) {
	mail, err := s.e.store.MailOf(ctx, saga)
	unsealMail(s.e.cfg.Codec, mail)
	return mail, err
}
