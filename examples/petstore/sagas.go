package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/marty-framework/mmf/examples/petstore/internal/demo"
	"github.com/marty-framework/mmf/examples/petstore/internal/order/api"
	"github.com/marty-framework/mmf/saga"
)

const sagaUsage = `petstore saga looks into the sagas of a running shop and helps those that are stuck:

  petstore saga list   [--status parked] [--type place_order] [--older-than 1h] [--where customer=alice] [--prefix ord-]
  petstore saga show   ID
  petstore saga retry | pause | resume | cancel | terminate            ID --reason "…"
  petstore saga skip | reject                                          ID --step s --reason "…" [--undo]
  petstore saga resolve                                                ID --step s --result '{"…"}' --reason "…" [--undo]
  petstore saga fork                                                   ID --step s --as NEW-ID --reason "…"

Without an ID a verb goes to every saga that --status, --type, --older-than, --where and --prefix find; try --dry-run first.
`

// sagaCall is the command line of petstore saga.
type sagaCall struct {
	verb, id string

	order, issuer, user             string
	status, kind, olderThan, prefix string
	where                           list
	step, result, reason, as        string
	after, key                      string
	limit                           int
	undo, dryRun, asJSON            bool
}

func sagas(ctx context.Context, args []string, out, errs io.Writer) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") || args[0] == "help" {
		_, err := io.WriteString(out, sagaUsage)
		return err
	}
	c := sagaCall{verb: args[0]}
	args = args[1:]
	verbs := []string{"list", "show", "retry", "pause", "resume", "cancel", "terminate", "skip", "reject", "resolve", "fork"}
	if !slices.Contains(verbs, c.verb) {
		return fmt.Errorf("there is no \"petstore saga %s\"; there is: %s", c.verb, strings.Join(verbs, ", "))
	}
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		c.id, args = args[0], args[1:]
	}
	fs := flag.NewFlagSet("saga", flag.ContinueOnError)
	c.flags(fs)
	if err := parse(fs, args, errs); err != nil {
		return err
	}
	switch {
	case c.verb == "fork" && (c.step == "" || c.as == ""):
		return errors.New("petstore saga fork needs --step, where the fork begins, and --as, its own id")
	case (c.verb == "skip" || c.verb == "reject" || c.verb == "resolve") && c.step == "":
		return fmt.Errorf("petstore saga %s needs --step; petstore saga show ID lists the steps", c.verb)
	case c.verb != "list" && c.verb != "show" && c.reason == "":
		return fmt.Errorf("petstore saga %s needs --reason: say why, it stands in the saga's journal", c.verb)
	case c.result != "" && !json.Valid([]byte(c.result)):
		return errors.New(`--result is no JSON; a text stands in quotes: --result '"pay-1"'`)
	}
	token, err := demo.Token(ctx, c.issuer, c.user)
	if err != nil {
		return err
	}
	do := caller{c.order, token}
	switch {
	case c.verb == "list":
		return c.list(ctx, do, out)
	case c.id != "":
		return c.one(ctx, do, out)
	case c.verb == "show" || c.verb == "fork":
		return fmt.Errorf("petstore saga %s needs the saga's id", c.verb)
	case c.status == "" && c.kind == "" && c.olderThan == "" && c.prefix == "" && len(c.where) == 0:
		return fmt.Errorf("petstore saga %s needs the saga's id, or --status, --type, --older-than, --where or --prefix to find some", c.verb)
	}
	return c.bulk(ctx, do, out)
}

func (c *sagaCall) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.order, "url", "http://127.0.0.1:8082", "`URL` of the order service")
	fs.StringVar(&c.issuer, "issuer", "http://127.0.0.1:8085", "`URL` of the issuer")
	fs.StringVar(&c.user, "user", "admin", "`name` of an admin; it stands in the journal")
	fs.StringVar(&c.status, "status", "", "`state`: running, waiting, parked, paused, compensating, completed, compensated, terminated, live, ended")
	fs.StringVar(&c.kind, "type", "", "`name` of the definition")
	fs.StringVar(&c.olderThan, "older-than", "", "`duration` since the start, such as 1h")
	fs.StringVar(&c.prefix, "prefix", "", "the ids' `beginning`")
	fs.Var(&c.where, "where", "`name=value` of an attribute; may be repeated")
	fs.StringVar(&c.step, "step", "", "`name` of the step")
	fs.BoolVar(&c.undo, "undo", false, "the step's compensation is meant")
	fs.StringVar(&c.result, "result", "", "`JSON` of the step's result")
	fs.StringVar(&c.reason, "reason", "", "why; it stands in the journal")
	fs.StringVar(&c.as, "as", "", "`id` of the fork")
	fs.StringVar(&c.after, "after", "", "`cursor` that an earlier call ended with")
	fs.StringVar(&c.key, "key", "", "`name` of this bulk operation, so that repeating it is harmless")
	fs.IntVar(&c.limit, "limit", 0, "how many at most (default 100, in bulk 1000)")
	fs.BoolVar(&c.dryRun, "dry-run", false, "change nothing, tell what would happen")
	fs.BoolVar(&c.asJSON, "json", false, "print what the service answered")
}

func (c *sagaCall) list(ctx context.Context, do caller, out io.Writer) error {
	q := url.Values{}
	for name, value := range map[string]string{"status": c.status, "type": c.kind, "olderThan": c.olderThan, "prefix": c.prefix, "cursor": c.after} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if c.limit > 0 {
		q.Set("limit", strconv.Itoa(c.limit))
	}
	q["attr"] = c.where
	var page saga.Page
	if err := do.call(ctx, http.MethodGet, "/api/v1/sagas?"+q.Encode(), nil, &page); err != nil {
		return err
	}
	if c.asJSON {
		return writeJSON(out, page)
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSAGA\tSTATE\tSTEP\tAGE\tATTRIBUTES\tREASON")
	for _, s := range page.Sagas {
		fmt.Fprintf(w, "%s\t%s@%d\t%s\t%s\t%s\t%s\t%s\n", s.ID, s.Saga, s.Version, s.State, or(s.Step, "-"),
			age(s.Started), attributes(s.Attributes), short(s.Reason))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if page.Next != "" {
		fmt.Fprintf(out, "\nmore: --after %s\n", page.Next)
	}
	return nil
}

func (c *sagaCall) one(ctx context.Context, do caller, out io.Writer) error {
	method, path, body := http.MethodGet, "/api/v1/sagas/"+url.PathEscape(c.id), any(nil)
	if c.verb != "show" {
		method, path = http.MethodPost, path+"/"+c.verb
		body = api.ChangeSaga{Reason: c.reason, Step: c.step, Undo: c.undo, Result: json.RawMessage(c.result), As: c.as}
	}
	var s api.Saga
	if err := do.call(ctx, method, path, body, &s); err != nil {
		return err
	}
	if c.asJSON {
		return writeJSON(out, s)
	}
	return showSaga(out, s)
}

func (c *sagaCall) bulk(ctx context.Context, do caller, out io.Writer) error {
	in := api.ChangeSagas{
		Where: api.Where{Status: c.status, Type: c.kind, OlderThan: c.olderThan, Prefix: c.prefix, Attr: map[string]string{}},
		Verb:  c.verb, Reason: c.reason, Step: c.step, Undo: c.undo, Result: json.RawMessage(c.result),
		DryRun: c.dryRun, Limit: c.limit, After: c.after, Key: c.key,
	}
	for _, pair := range c.where {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return fmt.Errorf("--where is %q: it must be name=value", pair)
		}
		in.Where.Attr[name] = value
	}
	var r saga.BulkReport
	if err := do.call(ctx, http.MethodPost, "/api/v1/sagas", in, &r); err != nil {
		return err
	}
	if c.asJSON {
		return writeJSON(out, r)
	}
	applied := "applied"
	if c.dryRun {
		applied = "would apply"
	}
	fmt.Fprintf(out, "%s: %d found, %s to %d, %d refused, %d pending, %d failed\n",
		c.verb, r.Matched, applied, r.Applied, r.Refused, r.Pending, r.Failed)
	for _, f := range r.Failures {
		fmt.Fprintf(out, "  %s  %s\n", f.ID, f.Why)
	}
	if r.Next != "" {
		fmt.Fprintf(out, "more: --after %s\n", r.Next)
	}
	return nil
}

func showSaga(out io.Writer, s api.Saga) error {
	fmt.Fprintf(out, "%s  %s@%d  %s", s.ID, s.Saga, s.Version, strings.ToUpper(string(s.State)))
	if s.Step != "" {
		fmt.Fprintf(out, " at %s", s.Step)
	}
	fmt.Fprintf(out, ", %s old\n", age(s.Started))
	if s.Reason != "" {
		fmt.Fprintf(out, "  %s\n", short(s.Reason))
	}
	if d := s.Dossier; d != nil {
		if len(d.Attributes) > 0 {
			fmt.Fprintf(out, "  %s\n", attributes(d.Attributes))
		}
		if d.ForkOf != "" {
			fmt.Fprintf(out, "  fork of %s\n", d.ForkOf)
		}
		for _, f := range d.Forks {
			fmt.Fprintf(out, "  forked as %s\n", f)
		}
		for _, t := range d.Timers {
			fmt.Fprintf(out, "  %s of %s at %s\n", t.Kind, t.Step, t.Due.Local().Format(time.DateTime))
		}
		for _, m := range d.Mail {
			fmt.Fprintf(out, "  waiting: %s %s %s\n", m.Kind, m.Name, m.Actor)
		}
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "\nSTEP\tSTATUS\tFAILED\tAT\tERROR")
	for _, step := range s.Steps {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", step.Name, step.Status, step.Failed, clock(step.At), short(step.Error))
	}
	fmt.Fprintln(w, "\n#\tRECORD\tSTEP\tAT\tBY\tREASON")
	for _, r := range s.Journal {
		kind := r.Kind
		if r.Undo {
			kind += " (undo)"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", r.Seq, kind, or(r.Step, "-"), clock(r.At), or(r.Actor, "-"), short(r.Reason))
	}
	return w.Flush()
}

// caller talks to the order service as an admin.
type caller struct{ url, token string }

func (c caller) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("--result is no JSON: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.url, "/")+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := (&http.Client{Timeout: time.Minute}).Do(req)
	if err != nil {
		return fmt.Errorf("no order service answers at %s: is the shop running? %w", c.url, err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		var p struct {
			Detail string `json:"detail"`
			Title  string `json:"title"`
		}
		_ = json.Unmarshal(raw, &p)
		return errors.New(or(p.Detail, or(p.Title, res.Status)))
	}
	return json.Unmarshal(raw, out)
}

func writeJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func age(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return time.Since(t).Round(time.Second).String()
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("15:04:05.000")
}

func short(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 80 {
		return string(r[:79]) + "…"
	}
	return s
}

func attributes(all map[string]string) string {
	var out []string
	for name, value := range all {
		out = append(out, name+"="+value)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}
