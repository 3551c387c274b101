package saga

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/internal/uuidv7"
)

// Run is a handle on one saga. It is safe for concurrent use.
type Run[S any] struct {
	e   *Engine
	def *Def[S]
	ref Ref
	// Existed says that the saga had been started before under the same ID with the same input.
	Existed bool
}

// Start starts a saga. When it returns nil the saga is durable and will be carried out, by this or any other process that
// runs the definition. Starting again under the same ID with the same input returns the same saga; with another input the
// error matches [ErrConflict]. An error that matches [data.ErrOutcomeUnknown], or a cancelled context, leaves open whether
// the saga exists: start it again under the same ID.
func (d *Def[S]) Start(ctx context.Context, e *Engine, id ID, input S, opts ...StartOption) (run *Run[S], err error) {
	ctx, done := e.starting(ctx, &d.shape, id)
	defer func() { done(err) }()
	write, err := d.firstWrite(ctx, e, id, input, opts)
	if err != nil {
		return nil, err
	}
	if err := e.Register(ctx); err != nil {
		return nil, fmt.Errorf("saga: start %q: %w", id, err)
	}
	run = &Run[S]{e: e, def: d, ref: write.Ref}
	err = e.start(ctx, &d.shape, write)
	if errors.Is(err, ErrConflict) {
		return d.existing(ctx, e, write)
	}
	if err != nil {
		return nil, fmt.Errorf("saga: start %q: %w", id, err)
	}
	return run, nil
}

// StartTx starts a saga in the caller's transaction on the engine's database: it exists if and only if tx commits. An ID
// that is taken gives an error matching [ErrConflict] even for the same input; the transaction then must be rolled back.
func (d *Def[S]) StartTx(ctx context.Context, e *Engine, tx data.Tx, id ID, input S, opts ...StartOption) (run *Run[S], err error) {
	ctx, done := e.starting(ctx, &d.shape, id)
	defer func() { done(err) }()
	write, err := d.firstWrite(ctx, e, id, input, opts)
	if err != nil {
		return nil, err
	}
	if !e.registered() {
		return nil, fmt.Errorf("saga: start %q: %w: call the engine's Register before the transaction, or Run", id, ErrNotRegistered)
	}
	if err := e.journal.Create(ctx, tx, write); err != nil {
		return nil, fmt.Errorf("saga: start %q: %w", id, err)
	}
	e.announceSoon()
	return &Run[S]{e: e, def: d, ref: write.Ref}, nil
}

// Find returns the handle of a saga that was started before. The error matches [ErrNotFound] when there is none, and
// [ErrConflict] when the ID belongs to another definition.
func (d *Def[S]) Find(ctx context.Context, e *Engine, id ID) (*Run[S], error) {
	ref, err := e.store.Lookup(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("saga: find %q: %w", id, err)
	}
	if ref.Kind != d.kind() {
		return nil, fmt.Errorf("saga: find %q: %w: it is a %s, not a %s", id, ErrConflict, ref.Kind, d.kind())
	}
	return &Run[S]{e: e, def: d, ref: ref, Existed: true}, nil
}

func (d *Def[S]) existing(ctx context.Context, e *Engine, write Write) (*Run[S], error) {
	want := write.Ref
	got, err := e.store.Lookup(ctx, want.ID)
	if err != nil {
		return nil, fmt.Errorf("saga: start %q: %w", want.ID, err)
	}
	if got.Kind != want.Kind || got.InputHash != want.InputHash {
		return nil, fmt.Errorf("saga: start %q: %w: it is a %s and the input differs or the definition does", want.ID, ErrConflict, got.Kind)
	}
	if d.sensitive { // their hash would say too much
		h, err := e.journal.Load(ctx, []UID{got.UID})
		switch {
		case err != nil:
			return nil, fmt.Errorf("saga: start %q: %w", want.ID, err)
		case len(h) == 0 || len(h[0].Records) == 0:
			return nil, fmt.Errorf("saga: start %q: whether the input is the same: %w", want.ID, ErrUnreadable)
		case !bytes.Equal(h[0].Records[0].Payload, write.Records[0].Payload):
			return nil, fmt.Errorf("saga: start %q: %w: the input differs", want.ID, ErrConflict)
		}
	}
	return &Run[S]{e: e, def: d, ref: got, Existed: true}, nil
}

func (d *Def[S]) firstWrite(ctx context.Context, e *Engine, id ID, input S, opts []StartOption) (Write, error) {
	if e.defs[d.kind()] != &d.shape {
		return Write{}, fmt.Errorf("saga: start %q: %w: %s", id, ErrNotRegistered, d.kind())
	}
	if err := id.check(); err != nil {
		return Write{}, fmt.Errorf("saga: start: %w", err)
	}
	raw, err := json.Marshal(input)
	if err != nil {
		return Write{}, fmt.Errorf("saga: start %q: input of type %T does not encode as JSON: %w", id, input, err)
	}
	if raw = textOf(raw); len(raw) > e.cfg.MaxPayload {
		return Write{}, fmt.Errorf("saga: start %q: %w: input of %d bytes, limit %d; pass a reference instead",
			id, ErrTooLarge, len(raw), e.cfg.MaxPayload)
	}
	state, err := d.decodeState(raw)
	if err != nil {
		return Write{}, fmt.Errorf("saga: start %q: input of type %T does not decode again: %w", id, input, err)
	}
	attributes, err := d.attributesOf(input)
	if err != nil {
		return Write{}, fmt.Errorf("saga: start %q: %w", id, err)
	}
	hash := "sensitive"
	if !d.sensitive {
		sum := sha256.Sum256(raw)
		hash = hex.EncodeToString(sum[:16])
	}
	write := Write{
		Attributes: attributes,
		Ref:        Ref{UID: UID(uuidv7.New()), ID: id, Kind: d.kind(), InputHash: hash}, New: true,
		Records: []Record{{Seq: 1, Kind: Started, At: time.Now(), Payload: raw, Meta: e.metaOf(ctx), value: state}},
	}
	for _, o := range opts {
		if err := o.applyStart(e, &write); err != nil {
			return Write{}, fmt.Errorf("saga: start %q: %w", id, err)
		}
	}
	return write, nil
}

// start writes a new saga into one of this node's lanes, or, when it has none, into anybody's.
func (e *Engine) start(ctx context.Context, def *shape, write Write) error {
	if w := e.current(); w != nil {
		if lane, ok := w.laneFor(write.Ref.Kind); ok {
			err := w.begin(ctx, def, write, lane)
			if !errors.Is(err, ErrFenced) {
				return err
			}
			// This node lost its lease meanwhile and cannot know whether the saga exists. Creating it again under the same
			// id finds out.
			write.Ref.Lane, write.LaneEpoch = 0, 0
		}
	}
	return e.create(ctx, write)
}

// create starts a saga in a lane of anybody's. While a node is being replaced its last transaction may still hold the id;
// that passes within a lease's time.
func (e *Engine) create(ctx context.Context, write Write) error {
	began := time.Now()
	for {
		err := e.store.DB().InTx(ctx, func(ctx context.Context, tx data.Tx) error { return e.journal.Create(ctx, tx, write) })
		if err == nil {
			e.announce(0)
			e.queued(write)
			return nil
		}
		again := data.Retryable(err) || errors.Is(err, data.ErrOutcomeUnknown) // its own id is recognised
		if !again || ctx.Err() != nil || time.Since(began) > 2*e.cfg.TTL {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (w *worker) begin(ctx context.Context, def *shape, write Write, lane Lane) error {
	write.Ref.Lane = lane.ID
	write.Records = []Record{write.Records[0]} // its own: it may still be in use when Start tries another way
	write.Records[0].At = w.now()
	m := newMachine(def, write.Ref.ID)
	if err := m.apply(write.Records[0]); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b := &birth{ctx, write, m, make(chan error, 1)}
	if !w.deliver(write.Ref.UID, lane.ID, event{kind: evBirth, birth: b}) {
		return ErrFenced
	}
	select {
	case err := <-b.done:
		w.e.queued(write)
		return err
	case <-w.ctx.Done():
		return ErrFenced
	case <-ctx.Done():
		return ctx.Err()
	}
}

// queued makes the queues of this process look at a saga that has come.
func (e *Engine) queued(write Write) {
	if w := e.current(); w != nil && write.Ticket != nil {
		w.nudgeQueues()
	}
}

// ID is the caller's id of the saga.
func (r *Run[S]) ID() ID { return r.ref.ID }

// Result waits until the saga ends and returns its final state. The error is a [*CompensatedError], a [*TerminatedError],
// a [*ParkedError] when the saga needs help (it may still end later), or the context's. The state returned beside an error
// is what the saga had come to.
func (r *Run[S]) Result(ctx context.Context) (S, error) {
	var zero S
	ch := r.e.watch(r.ref.UID)
	defer r.e.unwatch(r.ref.UID, ch)
	for first, pause := true, 5*time.Millisecond; ; first, pause = false, min(2*pause, time.Second) {
		here := r.e.resident(r.ref.UID)
		if !here || !first { // while it is in memory here, its end is told and the journal need not be asked
			m, err := r.e.read(ctx, r.ref.UID)
			switch {
			case data.Retryable(err) && ctx.Err() == nil: // the database may come back
			case err != nil:
				return zero, err
			case m.outcome != outcomeNone || m.parked:
				s, _ := m.state.(S)
				return s, m.err()
			}
		}
		wait := pause
		if here || r.e.current() != nil {
			wait = time.Second // this process is told, by itself or by the node that ends the saga
		}
		if !here {
			r.e.askFor(r.ref)
		}
		select {
		case <-ctx.Done():
			return zero, fmt.Errorf("saga: result of %q: %w", r.ref.ID, ctx.Err())
		case end := <-ch:
			if end.again {
				continue
			}
			s, _ := end.state.(S)
			return s, end.err
		case <-time.After(wait):
		}
	}
}

// read loads a saga's journal and folds it.
func (e *Engine) read(ctx context.Context, uid UID) (*machine, error) {
	h, err := e.journal.Load(ctx, []UID{uid})
	if err != nil {
		return nil, err
	}
	if len(h) == 0 {
		return nil, ErrNotFound
	}
	return e.replay(h[0])
}
