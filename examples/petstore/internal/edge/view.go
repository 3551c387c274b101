package edge

import (
	"context"
	"fmt"
	"html/template"
	"net/url"
	"strings"
	"time"

	"github.com/marty-framework/mmf/examples/petstore/internal/edge/web"
	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/service"
)

// page is what the templates get.
type page struct {
	Title         string
	User          string
	Users         bool // the visitor may choose who they are
	Back          string
	CorrelationID string

	Pets    []Pet
	Pet     Pet
	Cards   []card
	Key     string
	Orders  []Order
	Names   map[string]string // of pets, by id
	Order   Order
	Frame   Frame // what the tracker shows first
	Last    Frame // where the order stands
	Fresh   bool
	Problem *service.Problem
}

// card is a way to pay. They are test cards: what happens is decided by their name.
type card struct{ ID, Name, Hint string }

func cards() []card {
	return []card{
		{"pm_visa", "A card that works", "The order goes through."},
		{"pm_declined", "A card that is declined", "Watch the order run backwards."},
		{"pm_charge_then_timeout", "A bank that charges and then falls silent", "Charged once all the same."},
		{"pm_unreachable", "A bank that cannot be reached", "The shop tries again, then gives up in order."},
	}
}

func loadTemplates(files *assets) (map[string]*template.Template, error) {
	funcs := template.FuncMap{"asset": files.url, "money": money, "title": titled, "date": date, "picture": files.picture, "cardName": cardName}
	all := map[string]*template.Template{}
	for _, name := range []string{"shop", "pet", "orders", "order", "problem"} {
		t, err := template.New(name).Funcs(funcs).ParseFS(web.Files(), "templates/layout.html", "templates/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("edge: %w", err)
		}
		all[name] = t
	}
	return all, nil
}

// money writes cents the way people write prices.
func money(cents int64, currency string) string {
	sign := ""
	if cents < 0 {
		sign, cents = "-", -cents
	}
	whole := fmt.Sprint(cents / 100)
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	amount := fmt.Sprintf("%s.%02d", whole, cents%100)
	if currency == "USD" {
		return sign + "$" + amount
	}
	return strings.TrimSpace(sign + amount + " " + currency)
}

func titled(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func date(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04:05 MST") }

func cardName(id string) string {
	for _, c := range cards() {
		if c.ID == id {
			return c.Name
		}
	}
	return id
}

// localPath keeps a redirect on this site.
func localPath(path string) string {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.Contains(path, `\`) {
		return "/"
	}
	return path
}

func (v *visit) form() (url.Values, error) {
	if err := v.ParseForm(); err != nil {
		return nil, service.NewProblem(400, "This is no form of this shop.").WithCause(err)
	}
	return v.PostForm, nil
}

// noteFailure tells the request's telemetry what the visitor was told.
func noteFailure(ctx context.Context, p *service.Problem, err error) {
	if p.Status >= 500 {
		observability.Fail(ctx, "problem", err)
	}
}
