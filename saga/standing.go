package saga

// standing is what searches are to know of the saga without reading its journal.
func (m *machine) standing() Standing {
	switch {
	case m.outcome == Completed:
		return Standing{}
	case m.outcome != outcomeNone:
		return Standing{State: State(m.outcome), Step: m.causeStep, Reason: m.cause}
	case m.parked:
		return Standing{State: StateParked, Step: m.parkedAt, Reason: m.parkReason}
	case m.paused:
		return Standing{State: StatePaused}
	case m.dir == backward:
		return Standing{State: StateCompensating, Step: m.causeStep, Reason: m.cause}
	}
	return Standing{}
}

// project adds to a write what changes for searches. Most sagas never stand out, so most writes carry nothing.
func (a *activation) project(w *Write, m *machine) {
	now := m.standing()
	if now.State == a.shown && now.State != StateParked {
		return
	}
	if len(w.Records) == 0 {
		return
	}
	now.Since, now.Reason = w.Records[len(w.Records)-1].At, truncate(now.Reason, 500)
	changed := now // on the heap only here
	w.Standing = &changed
}

// projectEnd does so for a transactional step that ends the saga.
func (a *activation) projectEnd(w *Write) {
	last := w.Records[len(w.Records)-1]
	switch {
	case !w.End || last.End == Completed && a.shown == "":
	case last.End == Completed:
		w.Standing = &Standing{}
	default:
		w.Standing = &Standing{State: State(last.End), Step: a.m.causeStep, Reason: truncate(a.m.cause, 500), Since: last.At}
	}
}
