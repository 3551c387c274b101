package sagatest

import (
	"slices"

	"github.com/marty-framework/mmf/saga"
)

// settled are the records that end a step in one direction: it is done, or a person said what it is to count as.
var settled = []saga.RecordKind{saga.Done, saga.Resolved, saga.Skipped}

// effectsAtMostOnce: each step, in each direction, changes a participant's state at most once.
func (c *checker) effectsAtMostOnce() {
	c.each(func(s *sagaHistory) {
		for _, undo := range []bool{false, true} {
			for step, effects := range s.reach(undo) {
				c.seen()
				if n := len(applied(effects)); n > 1 {
					c.fail(s.id, step, "%s took effect %d times", name(undo), n)
				}
			}
		}
	})
}

// stableKeys: all attempts of one step in one direction bear one key, and no two steps share one.
func (c *checker) stableKeys() {
	owners := map[string][3]string{}
	c.each(func(s *sagaHistory) {
		for _, undo := range []bool{false, true} {
			for step, effects := range s.reach(undo) {
				c.seen()
				for _, e := range effects {
					if e.Key != effects[0].Key {
						c.fail(s.id, step, "%s came under the key %q and then under %q", name(undo), effects[0].Key, e.Key)
						break
					}
				}
				me := [3]string{s.id, step, name(undo)}
				for _, e := range effects {
					if other, taken := owners[e.Key]; taken && other != me {
						c.fail(s.id, step, "%s bears the key %q of %s %s of saga %s", name(undo), e.Key, other[2], other[1], other[0])
						break
					}
					owners[e.Key] = me
				}
			}
		}
	})
}

// order: a step's command leaves after everything before it is recorded as done.
func (c *checker) order() {
	c.each(func(s *sagaHistory) {
		if s.model == nil {
			return
		}
		done, touched := s.records(false, settled...), s.touched()
		for step, effects := range s.reach(false) {
			for _, before := range declared(s.model.before, step) {
				if !s.model.steps[before].Carried() || s.model.maybe[before] && !touched[before] {
					continue
				}
				c.seen()
				if j, ok := done[before]; !ok || j.At > effects[0].At {
					c.fail(s.id, step, "went out before %q was recorded as done", before)
				}
			}
		}
	})
}

// reverseOrder: a step is taken back only when everything after it is.
func (c *checker) reverseOrder() {
	c.each(func(s *sagaHistory) {
		if s.model == nil {
			return
		}
		undone, undos := s.records(true, settled...), s.reach(true)
		for later := range undos {
			for _, earlier := range declared(s.model.before, later) {
				if len(undos[earlier]) == 0 {
					continue
				}
				c.seen()
				if j, ok := undone[later]; !ok || j.At > undos[earlier][0].At {
					c.fail(s.id, earlier, "was taken back before %q", later)
				}
			}
		}
	})
}

// onlyWhatMayHaveHappened: nothing is taken back that was never attempted.
func (c *checker) onlyWhatMayHaveHappened() {
	c.each(func(s *sagaHistory) {
		attempted := s.touched()
		for step := range s.reach(true) {
			c.seen()
			if !attempted[step] {
				c.fail(s.id, step, "was taken back and never attempted")
			}
		}
	})
}

// touched are the steps that were attempted, as far as the journal or a participant can tell.
func (s *sagaHistory) touched() map[string]bool {
	out := map[string]bool{}
	for _, j := range s.journal {
		if j.Undo {
			continue
		}
		switch j.Kind {
		case saga.Done.String(), saga.Failed.String(), saga.Rejected.String(), saga.Unknown.String(), saga.Armed.String(), saga.Late.String(),
			saga.Resolved.String():
			out[j.Step] = true
		}
		for _, open := range j.Open {
			out[open] = true
		}
	}
	for _, e := range s.effects {
		if !e.Undo {
			out[e.Step] = true
		}
	}
	return out
}

// everythingThatMayHaveHappened: a compensated saga took back every step that it can take back and that is done or unknown.
func (c *checker) everythingThatMayHaveHappened() {
	c.each(func(s *sagaHistory) {
		if s.model == nil || s.end() != string(saga.Compensated) {
			return
		}
		undone := s.records(true, settled...)
		may := s.records(false, saga.Done, saga.Unknown, saga.Late)
		effects := s.reach(false)
		for step, info := range s.model.steps {
			_, recorded := may[step]
			if !info.Undoable || !recorded && len(applied(effects[step])) == 0 {
				continue
			}
			c.seen()
			if _, ok := undone[step]; !ok {
				c.fail(s.id, step, "has happened, or may have, and was never taken back")
			}
		}
	})
}

// noLateEffect: once a step is taken back it never takes effect.
func (c *checker) noLateEffect() {
	c.each(func(s *sagaHistory) {
		forward := s.reach(false)
		for step, undos := range s.reach(true) {
			c.seen()
			undos = slices.DeleteFunc(slices.Clone(undos), func(e Effect) bool { return e.Effect == Refused || e.Effect == Reached })
			if len(undos) == 0 {
				continue
			}
			for _, e := range applied(forward[step]) {
				if e.At > undos[0].At || e.At == undos[0].At && e.Seq > undos[0].Seq {
					c.fail(s.id, step, "took effect after it was taken back")
					break
				}
			}
		}
	})
}

// noMixedEnding: what completed took nothing back, what was compensated keeps no effect, behind the pivot nothing turns back.
func (c *checker) noMixedEnding() {
	c.each(func(s *sagaHistory) {
		end, undos := s.end(), s.reach(true)
		if end == "" {
			return
		}
		c.seen()
		switch end {
		case string(saga.Completed):
			for step, effects := range undos {
				if len(applied(effects)) > 0 {
					c.fail(s.id, step, "was taken back in a saga that completed")
				}
			}
		case string(saga.Compensated):
			done := s.records(false, saga.Done)
			for step, effects := range s.reach(false) {
				if s.model != nil && declared(s.model.steps, step).Undoable && len(applied(effects)) > 0 && len(applied(undos[step])) == 0 {
					c.fail(s.id, step, "keeps its effect in a saga that was compensated")
				}
			}
			for step := range done {
				if s.model != nil && declared(s.model.steps, step).Class == "pivot" {
					c.fail(s.id, step, "is a pivot that is done, and the saga was compensated")
				}
			}
		}
	})
}

// retryBudget: no more attempts reach a participant than the budget allows, apart from those that a take-over or a person repeats.
func (c *checker) retryBudget() {
	takeovers := 0
	for _, w := range c.h.Workers {
		if w.Event == "kill" || w.Event == "stop" || w.Event == "lost" {
			takeovers++
		}
	}
	c.each(func(s *sagaHistory) {
		if s.model == nil {
			return
		}
		resumed := 0
		for _, j := range s.journal {
			if j.Kind == saga.Resumed.String() {
				resumed++
			}
		}
		for _, undo := range []bool{false, true} {
			for step, effects := range s.reach(undo) {
				info := declared(s.model.steps, step)
				if !info.Carried() {
					continue
				}
				c.seen()
				budget := info.Retry.Max
				if undo {
					budget = info.Undo.Max
				}
				if limit := budget*(1+resumed) + takeovers; len(effects) > limit {
					c.fail(s.id, step, "%s reached the participant %d times; the budget is %d, with %d take-overs and %d resumptions",
						name(undo), len(effects), budget, takeovers, resumed)
				}
			}
		}
	})
}

func name(undo bool) string {
	if undo {
		return "the undo"
	}
	return "the step"
}
