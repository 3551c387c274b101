package kafka

import "github.com/twmb/franz-go/pkg/kgo"

// watermark knows how far a partition may be committed: up to the first record that is not done, in the order in which records
// were delivered. It goes by delivery and not by counting offsets, since offsets have gaps where records were compacted
// away or belong to transactions. Not safe for concurrent use.
type watermark struct {
	pending []*markedRecord
	next    kgo.EpochOffset // what to commit: the offset after the last record of the done prefix
	moved   bool            // whether next was ever set
}

type markedRecord struct {
	offset int64
	epoch  int32
	size   int
	done   bool
}

// add notes a delivered record.
func (w *watermark) add(offset int64, epoch int32, size int) *markedRecord {
	m := &markedRecord{offset: offset, epoch: epoch, size: size}
	w.pending = append(w.pending, m)
	return m
}

// finish marks a record as handled and returns how many records, and bytes, fell below the watermark by it.
func (w *watermark) finish(m *markedRecord) (records, bytes int) {
	m.done = true
	for len(w.pending) > 0 && w.pending[0].done {
		first := w.pending[0]
		w.pending[0] = nil
		w.pending = w.pending[1:]
		w.next, w.moved = kgo.EpochOffset{Epoch: first.epoch, Offset: first.offset + 1}, true
		records++
		bytes += first.size
	}
	return records, bytes
}
