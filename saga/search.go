package saga

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of attributes.
const (
	MaxAttributes     = 8   // per saga
	MaxAttributeName  = 64  // bytes
	MaxAttributeValue = 200 // bytes
)

// Searchable returns the same definition whose sagas can be found by what attributes gives for their input: a customer, an
// order. Register and use the returned one. At most [MaxAttributes]; a start with more, or with longer ones, fails with an
// error that matches [ErrTooLarge]. They are written once, together with the start, and cost one more row each. The
// function must only depend on its argument.
func (d *Def[S]) Searchable(attributes func(S) map[string]string) *Def[S] {
	out := *d
	out.attributes = func(state any) map[string]string { return attributes(state.(S)) }
	return &out
}

func (s *shape) attributesOf(input any) (out []Attribute, err error) {
	if s.attributes == nil {
		return nil, nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("its attributes panicked: %v", p)
		}
	}()
	all := s.attributes(input)
	if len(all) > MaxAttributes {
		return nil, fmt.Errorf("%w: %d attributes, limit %d", ErrTooLarge, len(all), MaxAttributes)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if name == "" || len(name) > MaxAttributeName || len(all[name]) > MaxAttributeValue {
			return nil, fmt.Errorf("%w: attribute %.80q: names have 1 to %d bytes, values up to %d",
				ErrTooLarge, name, MaxAttributeName, MaxAttributeValue)
		}
		if !isText(name) || !isText(all[name]) {
			return nil, fmt.Errorf("%w: attribute %.80q: must be UTF-8, without NUL", ErrInvalidID, name)
		}
		out = append(out, Attribute{name, all[name]})
	}
	return out, nil
}

// Filter says which sagas a search finds: those that match everything that is set. The zero value matches every saga.
type Filter struct {
	Saga    string // the definition's name
	Version int
	// State is a [State], or an [Outcome] as one; [StateLive] and [StateEnded] stand for several.
	State      State
	Attributes map[string]string // all of them
	Before     time.Time         // started before
	After      time.Time         // started after
	IDPrefix   ID
}

// Cursor is where a search goes on. It is opaque; empty: at the beginning, or nothing is left.
type Cursor string

// Summary is a saga as a search finds it, known without reading its journal. State lags behind nothing: it is written
// together with what changes it.
type Summary struct {
	ID         ID                `json:"id"`
	Saga       string            `json:"saga"`
	Version    int               `json:"version"`
	State      State             `json:"state"`
	Step       string            `json:"step,omitempty"`   // that failed, or where it is parked
	Reason     string            `json:"reason,omitempty"` // at most 500 bytes
	Started    time.Time         `json:"started"`          // to the millisecond, by the clock of who started it
	Since      time.Time         `json:"since,omitzero"`   // in this state, where that is known
	WakesAt    time.Time         `json:"wakes_at,omitzero"`
	Attributes map[string]string `json:"attributes,omitempty"`
}

// Page is a part of what a search finds. It may have fewer sagas than asked for, or none, and still a Next: a search reads a
// bounded number of rows at a time.
type Page struct {
	Sagas []Summary `json:"sagas"`
	Next  Cursor    `json:"next,omitempty"`
}

const (
	maxPage     = 1000
	searchChunk = 500
	searchReads = 20 // chunks per page at most
)

// Search finds sagas, newest first, or ordered by ID when the filter has an IDPrefix. A page has at most limit sagas, at most
// 1,000; zero means 100. Every search goes through an index and reads at most 10,000 candidates for a page. A state that there
// is not, or the cursor of another search, gives an error that matches [ErrInvalidSearch].
func (e *Engine) Search(ctx context.Context, f Filter, after Cursor, limit int) (Page, error) {
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, maxPage)
	q, err := f.query(after)
	if err != nil {
		return Page{}, err
	}
	var page Page
	for range searchReads {
		found, err := e.store.Search(ctx, q)
		if err != nil {
			return Page{}, fmt.Errorf("saga: search: %w", err)
		}
		for _, one := range found {
			q.Below, q.AfterID = one.Ref.UID, one.Ref.ID
			if s := one.summary(); f.matches(s) {
				page.Sagas = append(page.Sagas, s)
			}
			if len(page.Sagas) == limit {
				page.Next = cursorAt(q)
				return page, nil
			}
		}
		if len(found) < q.Limit {
			return page, nil
		}
	}
	page.Next = cursorAt(q)
	return page, nil
}

// query picks the index that narrows the search down most.
func (f Filter) query(after Cursor) (SearchQuery, error) {
	q := SearchQuery{From: FromAll, State: f.State, Prefix: f.IDPrefix, Limit: searchChunk, Below: uidAt(f.Before)}
	if !f.After.IsZero() {
		q.Above = uidAt(f.After)
	}
	switch {
	case len(f.Attributes) > 0:
		name := slices.Sorted(maps.Keys(f.Attributes))[0]
		q.From, q.Attribute = FromAttribute, Attribute{name, f.Attributes[name]}
	case slices.Contains([]State{StateParked, StatePaused, StateCompensating, State(Compensated), State(TerminatedByHand)}, f.State):
		q.From = FromState
	case f.IDPrefix != "":
		q.From = FromIDs
	case slices.Contains([]State{StateRunning, StateWaiting, StateLive}, f.State):
		q.From = FromLive
	case f.State != "" && f.State != State(Completed) && f.State != StateEnded:
		return q, fmt.Errorf("%w: there is no state %.40q", ErrInvalidSearch, f.State)
	}
	if after == "" {
		return q, nil
	}
	if q.From == FromIDs {
		id, ok := strings.CutPrefix(string(after), "i")
		q.AfterID = ID(id)
		if !ok {
			return q, errCursor
		}
		return q, nil
	}
	raw, ok := strings.CutPrefix(string(after), "u")
	b, err := hex.DecodeString(raw)
	if !ok || err != nil || len(b) != len(q.Below) {
		return q, errCursor
	}
	copy(q.Below[:], b)
	return q, nil
}

var errCursor = fmt.Errorf("%w: the cursor is none of this search's; begin without one", ErrInvalidSearch)

func cursorAt(q SearchQuery) Cursor {
	if q.From == FromIDs {
		return Cursor("i" + string(q.AfterID))
	}
	return Cursor("u" + hex.EncodeToString(q.Below[:]))
}

// uidAt is the least UID of a saga that began at t; ids of sagas begin with their milliseconds.
func uidAt(t time.Time) (u UID) {
	if !t.IsZero() {
		var ms [8]byte
		binary.BigEndian.PutUint64(ms[:], uint64(max(t.UnixMilli(), 0)))
		copy(u[:], ms[2:])
	}
	return u
}

func (u UID) time() time.Time {
	var ms [8]byte
	copy(ms[2:], u[:6])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:]))).UTC()
}

func (f Found) summary() Summary {
	name, version, _ := strings.Cut(f.Ref.Kind, "@")
	s := Summary{
		ID: f.Ref.ID, Saga: name, State: f.Standing.State, Step: f.Standing.Step, Reason: f.Standing.Reason,
		Started: f.Ref.UID.time(), Since: f.Standing.Since,
	}
	s.Version, _ = strconv.Atoi(version) // kinds are made of both
	if f.Live && !f.WakesAt.Equal(Forever) {
		s.WakesAt = f.WakesAt
	}
	switch {
	case s.State != "":
	case !f.Live:
		s.State = State(Completed)
	case !f.WakesAt.IsZero():
		s.State = StateWaiting
	default:
		s.State = StateRunning
	}
	for _, a := range f.Attributes {
		if s.Attributes == nil {
			s.Attributes = map[string]string{}
		}
		s.Attributes[a.Name] = a.Value
	}
	return s
}

// Ended reports whether a saga in this state has come to its end.
func (s State) Ended() bool {
	return s == State(Completed) || s == State(Compensated) || s == State(TerminatedByHand)
}

func (f Filter) matches(s Summary) bool {
	switch {
	case f.Saga != "" && f.Saga != s.Saga, f.Version != 0 && f.Version != s.Version, !strings.HasPrefix(string(s.ID), string(f.IDPrefix)),
		!f.Before.IsZero() && !s.Started.Before(f.Before), !f.After.IsZero() && s.Started.Before(f.After):
		return false
	case f.State == "":
	case f.State == StateLive && s.State.Ended(), f.State == StateEnded && !s.State.Ended():
		return false
	case f.State != StateLive && f.State != StateEnded && f.State != s.State:
		return false
	}
	for name, value := range f.Attributes {
		if got, ok := s.Attributes[name]; !ok || got != value {
			return false
		}
	}
	return true
}
