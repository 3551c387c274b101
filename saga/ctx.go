package saga

import (
	"context"
	"strconv"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/internal/uuidv7"
)

// Direction says whether an attempt carries a step out or takes it back.
type Direction string

// The two directions.
const (
	Do   Direction = "do"
	Undo Direction = "undo"
)

// Ctx is the context of one attempt. It is cancelled when the attempt's timeout passes, when the saga no longer needs the
// step, or when this process may no longer work for the saga.
type Ctx struct {
	context.Context
	a *AttemptInfo
}

// AttemptInfo describes one attempt to [NewCtx], for tests of step functions.
type AttemptInfo struct {
	Saga        string // the definition's name
	SagaID      ID     // the caller's id
	Key         string // stable per saga, step and direction
	Step        string
	Direction   Direction
	Attempt     int  // 1 for the first
	ResultKnown bool // of an undo: whether the step's result is known

	key       attemptKey // gives Key where that is empty
	publishTo func(context.Context, data.Tx, ...data.Event) error
}

// NewCtx makes the context of an attempt, for tests that call step functions directly.
func NewCtx(ctx context.Context, info AttemptInfo) Ctx { return Ctx{ctx, &info} }

// Key identifies this step of this saga in this direction. It is the same for every attempt, in every process, and is what
// a callee needs to recognise a repetition.
func (c Ctx) Key() string {
	if c.a.Key != "" {
		return c.a.Key
	}
	return c.a.key.of(c.a.Step)
}

// attemptKey is what a key is made of. It needs no write before the first attempt, and costs nothing until somebody asks.
type attemptKey struct {
	uid  UID
	undo bool
	late int // how often a result came after the step had been taken back
}

func (k attemptKey) of(step string) string {
	suffix := "/do"
	if k.undo {
		suffix = "/undo"
	}
	key := uuidv7.ID(k.uid).Append(make([]byte, 0, 128))
	key = append(append(append(key, '/'), step...), suffix...)
	if k.late > 0 {
		key = strconv.AppendInt(append(key, '/'), int64(k.late+1), 10)
	}
	return string(key)
}

// SagaID is the id under which the saga was started.
func (c Ctx) SagaID() ID { return c.a.SagaID }

// Saga is the name of the definition.
func (c Ctx) Saga() string { return c.a.Saga }

// Step is the name of the step.
func (c Ctx) Step() string { return c.a.Step }

// Direction says whether the step is carried out or compensated.
func (c Ctx) Direction() Direction { return c.a.Direction }

// Attempt counts from 1. It counts recorded failures, so an attempt that a crash cut short does not show.
func (c Ctx) Attempt() int { return c.a.Attempt }

// ResultKnown reports, in an undo, whether the result argument is the step's own: false when the step's outcome is unknown.
func (c Ctx) ResultKnown() bool { return c.a.ResultKnown }

func (a *AttemptInfo) publish(ctx context.Context, tx data.Tx, ev data.Event) error {
	if a.publishTo == nil {
		return errNoPublisher
	}
	return a.publishTo(ctx, tx, ev)
}
