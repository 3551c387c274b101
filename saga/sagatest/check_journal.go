package sagatest

import (
	"cmp"
	"slices"
	"strings"

	"github.com/marty-framework/mmf/saga"
)

// terminalIsFinal: nothing follows the end, in the journal or at a participant.
func (c *checker) terminalIsFinal() {
	c.each(func(s *sagaHistory) {
		var end *JournalEntry
		for i, j := range s.journal {
			if end != nil && j.Kind != saga.Refused.String() { // what was asked too late is audited
				c.fail(s.id, j.Step, "record %d (%s) follows the end of the saga", j.Seq, j.Kind)
				return
			}
			if j.End != "" {
				end = &s.journal[i]
			}
		}
		if end == nil {
			return
		}
		c.seen()
		for _, e := range s.effects {
			if e.Effect == Applied && e.At > end.At && !slices.ContainsFunc(s.effects, func(o Effect) bool {
				return o.Step == e.Step && o.Undo == e.Undo && o.Effect == Applied && o.At <= end.At
			}) && end.End != string(saga.TerminatedByHand) {
				c.fail(s.id, e.Step, "%s took effect after the saga had ended", name(e.Undo))
			}
		}
	})
}

// idempotentStart: one key, one saga; another input under it is refused.
func (c *checker) idempotentStart() {
	first := map[string]ClientOp{}
	for _, op := range c.h.Client {
		if op.Op != "start" || op.Out != OK {
			continue
		}
		c.seen()
		known, twice := first[op.Key]
		switch {
		case !twice:
			first[op.Key] = op
		case known.Saga != op.Saga:
			c.fail(op.Saga, "", "the key %q started this saga and %s", op.Key, known.Saga)
		case known.Input != op.Input:
			c.fail(op.Saga, "", "the key %q was accepted with two inputs", op.Key)
		}
	}
}

// durableAcknowledgement: what was acknowledged as started exists; what was acknowledged as cancelled does not complete, unless it was
// past its pivot.
func (c *checker) durableAcknowledgement() {
	for _, op := range c.h.Client {
		if op.Out != OK {
			continue
		}
		s := c.sagas[op.Saga]
		switch op.Op {
		case "start":
			c.seen()
			if s == nil || len(s.journal) == 0 {
				c.fail(op.Saga, "", "its start was acknowledged and it has no journal")
			}
		case "cancel":
			c.seen()
			if s == nil || s.end() != string(saga.Completed) {
				continue
			}
			pivot := false
			for _, j := range s.journal {
				pivot = pivot || s.model != nil && declared(s.model.steps, j.Step).Class == "pivot"
			}
			ended := slices.IndexFunc(s.journal, func(j JournalEntry) bool { return j.End != "" && j.At <= op.Ret })
			if !pivot && ended < 0 {
				c.fail(op.Saga, "", "its cancellation was acknowledged and it completed")
			}
		}
	}
}

// singleWriter: epochs in a journal never go back, and one epoch has one writer.
func (c *checker) singleWriter() {
	c.each(func(s *sagaHistory) {
		writers := map[int64]string{}
		last := int64(0)
		for _, j := range s.journal {
			if j.Epoch == 0 {
				continue
			}
			c.seen()
			if j.Epoch < last {
				c.fail(s.id, j.Step, "record %d bears epoch %d after %d", j.Seq, j.Epoch, last)
				return
			}
			last = j.Epoch
			if w := writers[j.Epoch]; w != "" && j.Worker != "" && w != j.Worker {
				c.fail(s.id, j.Step, "record %d of epoch %d was written by %s, others by %s", j.Seq, j.Epoch, j.Worker, w)
				return
			}
			writers[j.Epoch] = cmp.Or(writers[j.Epoch], j.Worker)
		}
	})
}

// journalIntegrity: numbers are gapless from 1 and unique, the first record is the start.
func (c *checker) journalIntegrity() {
	c.each(func(s *sagaHistory) {
		for i, j := range s.journal {
			c.seen()
			if j.Seq != int64(i)+1 {
				c.fail(s.id, j.Step, "record %d stands where %d belongs", j.Seq, i+1)
				return
			}
			if first := j.Kind == saga.Started.String(); first != (i == 0) {
				c.fail(s.id, j.Step, "record %d is %q", j.Seq, j.Kind)
				return
			}
		}
	})
}

// delivery: every event that a consumer had an effect for was on its topic.
func (c *checker) delivery() {
	onTopic := map[string]bool{}
	for _, e := range c.h.Events {
		onTopic[e.ID] = true
	}
	if len(onTopic) == 0 {
		return
	}
	for _, e := range c.h.Inbox {
		c.seen()
		if !onTopic[e.ID] {
			c.fail("", "", "consumer %q had an effect for event %q, which was never on a topic", e.Consumer, e.ID)
		}
	}
}

// inboxOnce: every event has one effect per consumer, or is a dead letter.
func (c *checker) inboxOnce() {
	count := map[[2]string]int{}
	for _, e := range c.h.Inbox {
		count[[2]string{e.Consumer, e.ID}]++
	}
	for key, n := range count {
		c.seen()
		if n > 1 {
			c.fail("", "", "event %q had %d effects at consumer %q", key[1], n, key[0])
		}
	}
}

// aggregateOrder: the events of one aggregate stand in one partition, in the order of their versions, without a gap.
func (c *checker) aggregateOrder() {
	type stream struct{ topic, aggregate string }
	events := slices.Clone(c.h.Events)
	slices.SortStableFunc(events, func(a, b TopicEvent) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	last, partition, seen := map[stream]int64{}, map[stream]int{}, map[string]bool{}
	for _, e := range events {
		if e.Aggregate == "" || e.Version == 0 || seen[e.ID] {
			continue // repetitions are allowed; what counts is where an event stands first
		}
		seen[e.ID] = true
		c.seen()
		key := stream{e.Topic, e.Aggregate}
		if p, known := partition[key]; known && p != e.Partition {
			c.fail("", "", "aggregate %q stands in partitions %d and %d", e.Aggregate, p, e.Partition)
		}
		if before, known := last[key]; known && e.Version != before+1 {
			c.fail("", "", "aggregate %q has version %d after %d", e.Aggregate, e.Version, before)
		}
		last[key], partition[key] = e.Version, e.Partition
	}
}

// versionStays: a saga's definition and version never change.
func (c *checker) versionStays() {
	c.each(func(s *sagaHistory) {
		for _, j := range s.journal {
			c.seen()
			if j.Def != s.def {
				c.fail(s.id, j.Step, "record %d belongs to %s, the saga began as %s", j.Seq, j.Def, s.def)
				return
			}
		}
	})
}

// everythingEnds: every saga has ended, is parked, or waits for something that is declared.
func (c *checker) everythingEnds() {
	c.each(func(s *sagaHistory) {
		if len(s.journal) == 0 {
			return
		}
		c.seen()
		if s.end() != "" {
			return
		}
		last := s.journal[len(s.journal)-1]
		switch last.Kind {
		case saga.Parked.String(), saga.Paused.String(), saga.Armed.String(), saga.Signalled.String():
			return
		}
		c.fail(s.id, last.Step, "has not ended; its last record is %d (%s)", last.Seq, last.Kind)
	})
}

// noLivelock: a saga's owner changes at most twice for every fault.
func (c *checker) noLivelock() {
	faults := 0
	for _, w := range c.h.Workers {
		if w.Event != "claim" && w.Event != "heal" && w.Event != "cont" {
			faults++
		}
	}
	c.each(func(s *sagaHistory) {
		changes, last := 0, int64(0)
		for _, j := range s.journal {
			if j.Epoch != 0 && last != 0 && j.Epoch != last {
				changes++
			}
			last = cmp.Or(j.Epoch, last)
		}
		if last == 0 {
			return
		}
		c.seen()
		if changes > 2*faults {
			c.fail(s.id, "", "changed its owner %d times with %d faults", changes, faults)
		}
	})
}

// timersNotEarly: a wait ends when its time has come and never before, unless by its signal.
func (c *checker) timersNotEarly() {
	c.each(func(s *sagaHistory) {
		due := map[string]int64{}
		for _, j := range s.journal {
			switch {
			case j.Kind == saga.Armed.String():
				due[j.Step] = j.Due
			case j.Kind == saga.Expired.String(), j.Kind == saga.Done.String() && s.kindOf(j.Step) == "sleep":
				c.seen()
				if j.At < due[j.Step] {
					c.fail(s.id, j.Step, "ended %d ns before its time", due[j.Step]-j.At)
				}
			}
		}
	})
}

func (s *sagaHistory) kindOf(step string) string {
	if s.model == nil {
		return ""
	}
	return declared(s.model.steps, step).Kind
}
