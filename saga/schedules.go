package saga

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ScheduleStatus describes a schedule.
type ScheduleStatus struct {
	Name       string    `json:"name"`
	Expression string    `json:"expression"` // with its location, as this process declares it
	Next       time.Time `json:"next"`       // zero while it is paused; past when it is late
	Last       time.Time `json:"last"`       // for which a saga was started last; zero: none
	LastSaga   ID        `json:"last_saga,omitempty"`
	Running    bool      `json:"running"` // that saga has not ended
	Skipped    int       `json:"skipped"` // how many times were skipped
	Paused     bool      `json:"paused"`
	By         By        `json:"by"`    // who paused it
	Owned      bool      `json:"owned"` // this process starts its sagas
}

// Schedules describes the schedules of this engine, in the order of [Config.Schedules].
func (e *Engine) Schedules(ctx context.Context) ([]ScheduleStatus, error) {
	store, ok := e.store.(ScheduleStore)
	if !ok || len(e.schedules) == 0 {
		return nil, nil
	}
	names := make([]string, 0, len(e.schedules))
	for _, s := range e.cfg.Schedules {
		names = append(names, s.name)
	}
	states, now, err := store.Schedules(ctx, names)
	if err != nil {
		return nil, fmt.Errorf("saga: schedules: %w", err)
	}
	kept := map[string]ScheduleState{}
	for _, s := range states {
		kept[s.Name] = s
	}
	owned := map[string]bool{}
	if w := e.current(); w != nil {
		for _, l := range w.roomLanes(func(kind string) bool { return e.schedules[kind] != nil }) {
			owned[scheduleName(l.Kind)] = true
		}
	}
	out := make([]ScheduleStatus, 0, len(names))
	for _, s := range e.cfg.Schedules {
		out = append(out, s.status(kept[s.name], now, owned[s.name]))
	}
	return out, nil
}

func (s *Schedule) status(k ScheduleState, now time.Time, owned bool) ScheduleStatus {
	st := ScheduleStatus{
		Name: s.name, Expression: s.expression(), Running: k.Live, Skipped: k.Skipped, Paused: k.Paused, By: k.By, Owned: owned,
	}
	if !k.Last.IsZero() {
		st.Last, st.LastSaga = k.Last.In(s.loc), s.ID(k.Last)
	}
	switch {
	case k.Paused:
	case k.Expression == st.Expression:
		st.Next = s.Next(k.Mark)
	default:
		st.Next = s.Next(now)
	}
	return st
}

// PauseSchedule keeps a schedule from starting sagas, on all nodes and over restarts, until it is resumed. The times that
// come meanwhile are not made up. Sagas that were started are left alone. Pausing again changes nothing. An error matches
// [ErrNotRegistered] when the engine does not declare the schedule.
func (e *Engine) PauseSchedule(ctx context.Context, name string, by By) error {
	return e.pauseSchedule(ctx, "pause", name, true, by)
}

// ResumeSchedule lets a paused schedule go on with the first time after now. Resuming one that is not paused changes nothing.
// Errors are those of [Engine.PauseSchedule].
func (e *Engine) ResumeSchedule(ctx context.Context, name string, by By) error {
	return e.pauseSchedule(ctx, "resume", name, false, by)
}

func (e *Engine) pauseSchedule(ctx context.Context, verb, name string, paused bool, by By) error {
	var err error
	if store, ok := e.store.(ScheduleStore); !ok || e.schedules[schedulePrefix+name] == nil {
		err = fmt.Errorf("%w: put it into Config.Schedules", ErrNotRegistered)
	} else if by.Actor == "" || by.Reason == "" {
		err = errors.New("who asks for it, and why, must be said")
	} else {
		err = store.PauseSchedule(ctx, name, paused, by)
	}
	if err != nil {
		return fmt.Errorf("saga: %s schedule %q: %w", verb, name, err)
	}
	return nil
}
