package main

import "fmt"

// goal is a figure that MMF has set itself, and what it came to.
type goal struct {
	What   string  `json:"what"`
	Want   string  `json:"want"`
	Got    float64 `json:"got"`
	Result string  `json:"result"` // met, not met, not measured
}

func (g goal) String() string {
	if g.Result == notMeasured {
		return fmt.Sprintf("goal %s: %s: %s", g.What, g.Want, g.Result)
	}
	return fmt.Sprintf("goal %s: %s: %.2f, %s", g.What, g.Want, g.Got, g.Result)
}

const notMeasured = "not measured"

// judge compares with the goals. They hold for medians of one run of this program, with all contenders on one server.
func (r *results) judge() {
	r.Goals = nil
	for _, g := range []struct {
		rival string
		level int
		least float64
	}{{"dbos", 512, 25}, {"dbos", 64, 10}} {
		x, ok := r.ratio(g.rival, g.level)
		r.atLeast(fmt.Sprintf("sagas/s mmf/%s in-flight=%d", g.rival, g.level), g.least, x.PerSaga, ok)
	}
	x, ok := r.ratio("dbos", 1)
	r.atMost("median latency mmf/dbos in-flight=1", 0.5, x.Latency, ok)
	perStep, ok := r.statementsPerStep()
	r.atMost("statements per plain step mmf in-flight=1", 1, perStep, ok)
	for _, level := range []int{64, 512} {
		x, ok := r.ratio("ceiling", level)
		r.atLeast(fmt.Sprintf("share of the ceiling mmf/ceiling in-flight=%d", level), 0.5, x.PerSaga, ok)
	}
}

// statementsPerStep takes off what the engine sends without sagas too, and one for the start. To the hundredth: the rest is
// noise of what was taken off.
func (r *results) statementsPerStep() (float64, bool) {
	c := r.find("mmf", 1)
	if c == nil || c.Failed != "" || c.Median.Statements < 0 || c.Median.Idle < 0 {
		return 0, false
	}
	perSaga := c.Median.Statements - c.Median.Idle/c.Median.PerSecond
	return (perSaga - 1) / float64(len(stepNames)), true
}

func (r *results) atLeast(what string, want, got float64, ok bool) {
	r.goal(what, fmt.Sprintf("at least %g", want), got, ok, got >= want)
}

func (r *results) atMost(what string, want, got float64, ok bool) {
	r.goal(what, fmt.Sprintf("at most %g", want), got, ok, got < want+0.005)
}

func (r *results) goal(what, want string, got float64, ok, met bool) {
	g := goal{What: what, Want: want, Got: got, Result: notMeasured}
	switch {
	case ok && met:
		g.Result = "met"
	case ok:
		g.Result = "not met"
	}
	r.Goals = append(r.Goals, g)
}
