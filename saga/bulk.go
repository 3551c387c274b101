package saga

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// BulkOptions bound a bulk operation. The zero value works.
type BulkOptions struct {
	// DryRun changes nothing and counts as applied what would be admitted as the sagas stand.
	DryRun bool
	// Limit is how many sagas are asked at most. Default 1,000, at most 10,000.
	Limit int
	// After is the Next of an earlier report.
	After Cursor
	// Key makes a repetition harmless: a saga that took a verb in under the same key is not asked again. At most 100 bytes.
	Key string
	// Wait is how long to wait for the answers of a page of 100 sagas. Default 5 s.
	Wait time.Duration
}

// BulkReport says what became of a bulk operation.
type BulkReport struct {
	Matched  int           `json:"matched"`
	Applied  int           `json:"applied"`
	Refused  int           `json:"refused"` // see Failures
	Pending  int           `json:"pending"` // durable, but nobody took it in while we waited
	Failed   int           `json:"failed"`  // could not be asked; see Failures
	Failures []BulkFailure `json:"failures,omitempty"`
	Next     Cursor        `json:"next,omitempty"` // where to go on; empty: nothing is left
}

// BulkFailure is a saga to which the verb was not applied.
type BulkFailure struct {
	ID  ID     `json:"id"`
	Why string `json:"why"`
	Err error  `json:"-"`
}

// Bulk does a verb to every saga that a filter finds, page by page, and reports every one that it was not applied to. It
// stops at the limit, and with an error when the search fails or ctx ends; the report then is about what was done until
// then, and its Next tells where to go on.
func (e *Engine) Bulk(ctx context.Context, f Filter, v Verb, by By, o BulkOptions) (BulkReport, error) {
	if o.Limit <= 0 {
		o.Limit = 1000
	}
	if o.Wait <= 0 {
		o.Wait = 5 * time.Second
	}
	o.Limit = min(o.Limit, 10_000)
	report := BulkReport{Next: o.After}
	if by.Actor == "" || by.Reason == "" {
		return report, fmt.Errorf("saga: bulk %s: who asks for it, and why, must be said", v.Do)
	}
	if len(o.Key) > 100 {
		return report, fmt.Errorf("saga: bulk %s: %w: a key of %d bytes, limit 100", v.Do, ErrTooLarge, len(o.Key))
	}
	for report.Matched < o.Limit {
		page, err := e.Search(ctx, f, report.Next, min(100, o.Limit-report.Matched))
		if err != nil {
			return report, err
		}
		e.bulkPage(ctx, page.Sagas, v, by, o, &report)
		if report.Next = page.Next; report.Next == "" {
			return report, nil
		}
		if err := ctx.Err(); err != nil {
			return report, fmt.Errorf("saga: bulk %s: %w", v.Do, err)
		}
	}
	return report, nil
}

func (e *Engine) bulkPage(ctx context.Context, page []Summary, v Verb, by By, o BulkOptions, report *BulkReport) {
	ctx, cancel := context.WithTimeout(ctx, o.Wait)
	defer cancel()
	errs := make([]error, len(page))
	places := make(chan struct{}, 8)
	var all sync.WaitGroup
	for i, s := range page {
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			errs[i] = e.bulkOne(ctx, s.ID, v, by, o)
		})
	}
	all.Wait()
	for i, err := range errs {
		report.Matched++
		switch {
		case err == nil:
			report.Applied++
			continue
		case errors.Is(err, ErrPending):
			report.Pending++
		case errors.As(err, new(*VerbError)):
			report.Refused++
		default:
			report.Failed++
		}
		report.Failures = append(report.Failures, BulkFailure{page[i].ID, err.Error(), err})
	}
}

func (e *Engine) bulkOne(ctx context.Context, id ID, v Verb, by By, o BulkOptions) error {
	if o.DryRun {
		ref, err := e.store.Lookup(ctx, id)
		if err != nil {
			return err
		}
		m, err := e.read(ctx, ref.UID)
		switch {
		case errors.Is(err, ErrUnreadable) && v.Do == VerbTerminate:
			return nil
		case err != nil:
			return err
		}
		return m.admit(v)
	}
	var i *Intervention
	var err error
	if o.Key != "" {
		i, err = e.intervene(ctx, id, v, by, "bulk:"+o.Key)
	} else {
		i, err = e.Intervene(ctx, id, v, by)
	}
	if err != nil {
		return err
	}
	return i.Wait(ctx)
}
