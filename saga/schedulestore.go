package saga

import (
	"context"
	"time"

	"github.com/marty-framework/mmf/data"
)

// ScheduleStore is what a [Store] can do for schedules; both SQL stores and that of sagatest do. sagatest.ExerciseSchedules
// proves another implementation.
type ScheduleStore interface {
	// TakeSchedule reads what is kept of a schedule, for nobody else to change until tx ends, and the database's time. What is
	// not kept yet is the zero value with its name. The lane must be the schedule's; an error matches ErrFenced when the lease or
	// the lane is lost, and neither changes hands before tx ends.
	TakeSchedule(ctx context.Context, tx data.Tx, l Lease, lane Lane, name string) (ScheduleState, time.Time, error)
	// KeepSchedule writes the state of a schedule that was taken in the same transaction, but for Live, Paused and By.
	KeepSchedule(ctx context.Context, tx data.Tx, s ScheduleState) error
	// PauseSchedule pauses or resumes a schedule, of which nothing need be kept yet. The mark of one that is resumed moves to now;
	// resuming one that is not paused, and pausing one that is, changes nothing.
	PauseSchedule(ctx context.Context, name string, paused bool, by By) error
	// Schedules reads what is kept of schedules, in no particular order, and the database's time. Unknown ones are left out.
	Schedules(ctx context.Context, names []string) ([]ScheduleState, time.Time, error)
}

// ScheduleState is what a store keeps of a schedule. Times are exact to the microsecond.
type ScheduleState struct {
	Name       string
	Expression string    // with its location
	Mark       time.Time // everything up to here is done with
	Last       time.Time // for which a saga was started last; zero: none
	LastSaga   UID
	Live       bool // that saga has not ended
	Skipped    int  // how many times were skipped
	Paused     bool
	By         By // who paused it
}
