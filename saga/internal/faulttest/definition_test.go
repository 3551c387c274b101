package faulttest_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// order is the state of the sagas under test. What happens to one follows from its class alone, so that the end of a run with
// faults can be compared with the end of one without.
type order struct {
	N     int
	Class string // "go" completes, "back" is refused late and taken back
	Sum   int
	Lines int // that were picked, and the sum of their numbers
	Bill  int // and one more
}

var knock = saga.NewSignal[bool]("knock")

// line is an item of an order, and the state of the part that bills it.
type line struct {
	N     int
	Class string
}

// before is the order of the tree below: what must be recorded as done before a step begins.
var before = map[string][]string{
	"book": {"charge"}, "left": {"charge", "book"}, "right": {"charge", "book"},
	"lines[0]/pick": {"charge", "book", "left", "right"}, "lines[1]/pick": {"charge", "book", "left", "right"},
	"bill/post": {"charge", "book", "left", "right", "lines[0]/pick", "lines[1]/pick"},
	"last":      {"charge", "book", "left", "right", "lines[0]/pick", "lines[1]/pick", "bill/post", "nap", "knock"},
	"capture":   {"charge", "book", "left", "right", "bill/post", "last"}, "hand-over": {"charge", "book", "left", "right", "last", "capture"},
}

var (
	forward  = []string{"charge", "book", "left", "right", "lines[0]/pick", "lines[1]/pick", "bill/post", "last", "capture", "hand-over"}
	undoable = []string{"charge", "book", "left", "right", "lines[0]/pick", "lines[1]/pick", "bill/post"}
)

// patient outlasts every outage of a test, so that faults do not decide how a saga ends.
var patient = saga.Retry{Max: 200, First: 5 * time.Millisecond, Cap: 200 * time.Millisecond}

// call asks a participant.
type call func(c saga.Ctx, class string) error

func define(ask call) *saga.Def[order] {
	step := func(name string) *saga.StepNode[order, int] {
		return saga.Step(name, func(c saga.Ctx, o order) (int, error) { return o.N, ask(c, o.Class) }).
			Undo(func(c saga.Ctx, o order, _ int) error { return ask(c, o.Class) }).
			Into(func(o *order, n int) { o.Sum += n }).Retry(patient).UndoRetry(patient).Timeout(5 * time.Second)
	}
	book := saga.TxStep("book", func(c saga.Ctx, tx data.Tx, o order) (saga.None, error) {
		_, err := tx.Exec(c, `insert into booked (saga, amount) values ($1, $2)`, string(c.SagaID()), o.N)
		return saga.None{}, err
	}).Undo(func(c saga.Ctx, tx data.Tx, o order, _ saga.None) error {
		_, err := tx.Exec(c, `insert into booked (saga, amount) values ($1, $2)`, string(c.SagaID()), -o.N)
		return err
	}).Retry(patient).UndoRetry(patient)
	part := func(name string) *saga.StepNode[line, int] {
		return saga.Step(name, func(c saga.Ctx, l line) (int, error) { return 1, ask(c, l.Class) }).
			Undo(func(c saga.Ctx, l line, _ int) error { return ask(c, l.Class) }).
			Into(func(l *line, n int) { l.N += n }).Retry(patient).UndoRetry(patient).Timeout(5 * time.Second)
	}
	lines := saga.Each("lines", func(o order) []line { return []line{{0, o.Class}, {1, o.Class}} }, part("pick")).
		Into(func(o *order, lines []line) {
			for _, l := range lines {
				o.Lines += l.N
			}
		})
	bill := saga.Child("bill", saga.Define("bill", 1, part("post")), func(o order) line { return line{o.Lines, o.Class} }).
		Into(func(o *order, l line) { o.Bill = l.N })
	last := saga.Step("last", func(c saga.Ctx, o order) (saga.None, error) {
		if o.Lines != 3 || o.Bill != 4 { // a saga of the class "go" then ends as it must not
			return saga.None{}, saga.Reject("lines %d, bill %d", o.Lines, o.Bill)
		}
		return saga.None{}, ask(c, o.Class)
	}).Retry(patient)
	plain := func(c saga.Ctx, o order) (saga.None, error) { return saga.None{}, ask(c, o.Class) }
	return saga.Define("order", 1,
		step("charge"), book,
		saga.Parallel("prepare", step("left"), step("right")),
		lines, bill,
		saga.Sleep("nap", func(order) time.Duration { return 10 * time.Millisecond }),
		saga.Await(knock, func(*order, bool) error { return nil }).Within(time.Hour),
		last,
		saga.Pivot("capture", plain).Retry(patient),
		saga.Retriable("hand-over", plain).Retry(patient),
	)
}

// overHTTP asks participants that live in the process of the test.
func overHTTP(base, worker string) call {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	return func(c saga.Ctx, class string) error {
		q := url.Values{
			"saga": {string(c.SagaID())}, "step": {c.Step()}, "dir": {string(c.Direction())}, "key": {c.Key()},
			"class": {class}, "worker": {worker}, "attempt": {fmt.Sprint(c.Attempt())},
		}
		req, err := http.NewRequestWithContext(c, http.MethodPost, base+"/act", strings.NewReader(q.Encode()))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(resp.Body)
		switch resp.StatusCode {
		case http.StatusOK:
			return nil
		case http.StatusConflict:
			return saga.Reject("%s", body)
		}
		return errors.New(string(body))
	}
}
