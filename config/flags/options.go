package flags

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Options name the sources and say how to follow them. All are optional: a set without sources gives every handle its default.
type Options struct {
	// Data is a flag file's content, such as one embedded in the program; weaker than Files.
	Data []byte
	// Files are flag files. A flag of a later one replaces the flag of the same key as a whole.
	Files []string
	// MaxFileBytes is the size of the largest file that is read. Default 1 MiB, at most 16 MiB.
	MaxFileBytes int64
	// Debounce is how long files must rest before a change counts. Default 50ms.
	Debounce time.Duration
	// Poll is the interval of looking for changes that no event announced. Default 1s.
	Poll time.Duration
	// Hooks receive what happens.
	Hooks Hooks
}

// Hooks receive what happens in a set. All are optional, must be safe for concurrent use, and should return quickly.
type Hooks struct {
	// Evaluation is called for each evaluation, in the goroutine that asked: for metrics, span events and the exposures
	// of an experiment.
	Evaluation func(context.Context, Evaluation)
	// Reload is called for each reload that was applied or refused.
	Reload func(Reload)
	// Override is called when an override begins or is taken back.
	Override func(OverrideEvent)
	// WatchDegraded is called once when the directories cannot be watched, so that changes are found by polling alone.
	WatchDegraded func(error)
}

// Evaluation is what a hook learns of one evaluation.
type Evaluation struct {
	Flag, Variant string
	Reason        Reason
	ErrorCode     ErrorCode
	// Subject is the key given to [WithSubject]; keep it out of metric labels.
	Subject string
	// Generation is that of the flags.
	Generation uint64
}

// Reload is one attempt to exchange the flags.
type Reload struct {
	At      time.Time
	Applied bool
	// Generation is the one that runs after the attempt.
	Generation uint64
	// Changed are the keys of flags that were added, removed or defined otherwise, in order.
	Changed []string
	// Err is why it was refused.
	Err error
}

// OverrideEvent is an override that began or, with an empty variant, was taken back.
type OverrideEvent struct {
	Flag, Variant string
	Until         time.Time
}

func (o Options) withDefaults() Options {
	if o.MaxFileBytes == 0 {
		o.MaxFileBytes = 1 << 20
	}
	if o.Debounce == 0 {
		o.Debounce = 50 * time.Millisecond
	}
	if o.Poll == 0 {
		o.Poll = time.Second
	}
	return o
}

func (o Options) validate() error {
	var problems []error
	if o.MaxFileBytes < 0 || o.MaxFileBytes > 16<<20 {
		problems = append(problems, fmt.Errorf("flags: Options.MaxFileBytes must be 1 to 16 MiB, not %d", o.MaxFileBytes))
	}
	if o.Debounce < 0 {
		problems = append(problems, fmt.Errorf("flags: Options.Debounce must be positive, not %v", o.Debounce))
	}
	if o.Poll < 0 {
		problems = append(problems, fmt.Errorf("flags: Options.Poll must be positive, not %v", o.Poll))
	}
	return errors.Join(problems...)
}
