package saga_test

import (
	"context"
	"fmt"
	"time"

	"github.com/marty-framework/mmf/saga"
)

type Report struct {
	Day string
}

// A report is made every night at three, Berlin time, once by all processes of the service together. If none of them runs at
// that time, the first that comes back makes the last one that was missed.
func ExampleNewSchedule() {
	ctx := context.Background()
	store, closeStore, err := newStore(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		fmt.Println(err)
		return
	}
	report := saga.Define("report", 1, saga.Step("make", func(_ saga.Ctx, r Report) (saga.None, error) {
		fmt.Println("the report of", r.Day)
		return saga.None{}, nil
	}))
	nightly := saga.NewSchedule("nightly-report", "0 3 * * *", report, func(at time.Time) Report {
		return Report{Day: at.AddDate(0, 0, -1).Format(time.DateOnly)}
	}).In(berlin).CatchUp(saga.CatchUpLatest).NoOverlap()

	engine, err := saga.New(saga.Config{Schedules: []*saga.Schedule{nightly}}, store, report)
	if err != nil {
		fmt.Println(err)
		return
	}
	// go engine.Run(ctx) starts the sagas from now on.

	by := saga.By{Actor: "ann", Reason: "the printer is broken"}
	if err := engine.PauseSchedule(ctx, "nightly-report", by); err != nil {
		fmt.Println(err)
	}
	list, err := engine.Schedules(ctx)
	if err != nil {
		fmt.Println(err)
	}
	for _, s := range list {
		fmt.Println(s.Name, s.Expression, s.Paused, s.By.Reason)
	}
	// Clocks go forward at two on the 29th of March.
	for at := time.Date(2026, 3, 27, 12, 0, 0, 0, berlin); at.Day() != 30; {
		at = nightly.Next(at)
		fmt.Println(nightly.ID(at), at.Format("15:04 MST"))
	}
	fmt.Println(closeStore())
	// Output:
	// nightly-report 0 3 * * * Europe/Berlin true the printer is broken
	// nightly-report/2026-03-28T02:00:00Z 03:00 CET
	// nightly-report/2026-03-29T01:00:00Z 03:00 CEST
	// nightly-report/2026-03-30T01:00:00Z 03:00 CEST
	// <nil>
}
