package edge

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"html/template"
	"net/http"
	"regexp"
	"time"

	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/service"
)

// PagesConfig is what the pages need. All fields but Live are required.
type PagesConfig struct {
	Upstreams Upstreams
	Client    *http.Client
	Sessions  *Sessions
	// Live says whether a visitor may watch an order live; other pages ask now and then. Nil: everybody may.
	Live func(ctx context.Context, user string) bool
}

// Pages is the storefront: server-rendered, usable without scripts, which only make an order's progress visible as it happens.
type Pages struct {
	api       *backend
	sessions  *Sessions
	tokens    *UserTokens // nil: nobody can sign in
	templates map[string]*template.Template
	assets    *assets
	streams   *streams
	liveFor   func(ctx context.Context, user string) bool
}

// NewPages makes the storefront.
func NewPages(cfg PagesConfig) (*Pages, error) {
	files, err := loadAssets()
	if err != nil {
		return nil, err
	}
	templates, err := loadTemplates(files)
	if err != nil {
		return nil, err
	}
	if cfg.Live == nil {
		cfg.Live = func(context.Context, string) bool { return true }
	}
	return &Pages{
		api: &backend{upstreams: cfg.Upstreams, client: cfg.Client}, sessions: cfg.Sessions,
		templates: templates, assets: files, streams: newStreams(), liveFor: cfg.Live,
	}, nil
}

// AllowDevelopmentUsers lets visitors choose who they are, without a password. Call it before Routes; never in production.
func (p *Pages) AllowDevelopmentUsers(tokens *UserTokens) { p.tokens = tokens }

// Routes are the storefront's routes. They are public because a browser's session is no bearer token: each handler that needs a
// user looks for the session itself.
func (p *Pages) Routes() []service.Route {
	page := func(pattern, operation, summary string, h handler) service.Route {
		return service.Route{
			Pattern: pattern, Operation: operation, Summary: summary, Policy: security.Public(), Limit: "600/min burst 200",
			Timeout: 10 * time.Second, MaxBody: 8 << 10, Handler: http.NewCrossOriginProtection().Handler(p.serve(h)),
		}
	}
	routes := []service.Route{
		page("GET /{$}", "page-shop", "Show the pets", p.shop),
		page("GET /pets/{id}", "page-pet", "Show a pet and ways to pay", p.pet),
		page("GET /orders", "page-orders", "Show the visitor's orders", p.orders),
		page("GET /orders/{id}", "page-order", "Show an order's progress", p.order),
		page("POST /orders", "buy", "Order a pet from the page", p.buy),
		page("POST /logout", "logout", "End the session", p.logout),
		{
			Pattern: "GET /orders/{id}/live", Operation: "live-order", Summary: "Stream an order's progress to its page",
			Policy: security.Public(), Limit: "600/min burst 200", Timeout: service.NoTimeout, Handler: p.serve(p.live),
		},
		{
			Pattern: "GET /assets/{path...}", Operation: "asset", Summary: "Pictures, style and script of the pages",
			Policy: security.Public(), Timeout: 5 * time.Second, Handler: p.assets,
		},
	}
	if p.tokens != nil {
		routes = append(routes, page("POST /login", "login", "Choose who to shop as (development)", p.login))
	}
	return routes
}

// visit is one request for a page, by whoever the session says.
type visit struct {
	*http.Request
	w     http.ResponseWriter
	user  string // "": nobody
	token string
}

type handler func(v *visit) error

// serve finds out who visits, and shows an error as a page.
func (p *Pages) serve(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "+
			"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "same-origin") // "no-referrer" would hide from us that a form is our own
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cache-Control", "no-store")
		v := &visit{Request: r, w: w}
		err := p.identify(v)
		if err == nil {
			err = h(v)
		}
		if err != nil {
			p.fail(v, err)
		}
	})
}

func (p *Pages) identify(v *visit) (err error) {
	if p.tokens == nil {
		return nil
	}
	if v.user, err = p.sessions.User(v.Context(), v.Request); err != nil || v.user == "" {
		return err
	}
	v.token, err = p.tokens.Token(v.Context(), v.user)
	return err
}

// signedIn is the error for somebody who is nobody yet.
func (v *visit) signedIn() error {
	if v.token == "" {
		return service.NewProblem(http.StatusUnauthorized, "Choose first who you are: Alice, Bob or Carol, at the top of the page.")
	}
	return nil
}

var (
	petID   = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+){0,9}$`)
	orderID = regexp.MustCompile(`^ord-[a-z2-7]{20}$`)
)

func (p *Pages) shop(v *visit) error {
	pets, err := p.api.pets(v.Context())
	if err != nil {
		return err
	}
	return p.render(v, http.StatusOK, "shop", page{Title: "Pets", Pets: pets})
}

func (p *Pages) pet(v *visit) error {
	id := v.PathValue("id")
	if len(id) > 100 || !petID.MatchString(id) {
		return service.NewProblem(http.StatusNotFound, "There is no pet with this name.")
	}
	pet, err := p.api.pet(v.Context(), id)
	if err != nil {
		return err
	}
	return p.render(v, http.StatusOK, "pet", page{Title: pet.Name, Pet: pet, Cards: cards(), Key: rand.Text()})
}

func (p *Pages) orders(v *visit) error {
	if err := v.signedIn(); err != nil {
		return err
	}
	orders, err := p.api.orders(v.Context(), v.token)
	if err != nil {
		return err
	}
	names := map[string]string{}
	if pets, err := p.api.pets(v.Context()); err == nil { // without the catalog the ids have to do
		for _, pet := range pets {
			names[pet.ID] = pet.Name
		}
	}
	return p.render(v, http.StatusOK, "orders", page{Title: "Your orders", Orders: orders, Names: names})
}

func (p *Pages) order(v *visit) error {
	order, frames, err := p.progress(v.Context(), v, v.PathValue("id"))
	if err != nil {
		return err
	}
	pet, err := p.api.pet(v.Context(), order.PetID)
	if err != nil {
		pet = Pet{ID: order.PetID, Name: order.PetID} // the order is what counts here
	}
	last := frames[len(frames)-1]
	_, fresh := v.URL.Query()["new"]
	if fresh {
		last = frames[0] // the script plays the rest
	}
	return p.render(v, http.StatusOK, "order", page{
		Title: "Order of " + pet.Name, Pet: pet, Order: order, Frame: last, Last: frames[len(frames)-1], Fresh: fresh,
	})
}

// progress reads an order with everything that has happened to it.
func (p *Pages) progress(ctx context.Context, v *visit, id string) (Order, []Frame, error) {
	if err := v.signedIn(); err != nil {
		return Order{}, nil, err
	}
	if !orderID.MatchString(id) {
		return Order{}, nil, service.NewProblem(http.StatusNotFound, "There is no such order of yours.")
	}
	order, err := p.api.order(ctx, v.token, id)
	if err != nil {
		return Order{}, nil, err
	}
	journal, err := p.api.journal(ctx, v.token, id)
	return order, Frames(order.WorkflowSteps, journal), err
}

func (p *Pages) buy(v *visit) error {
	if err := v.signedIn(); err != nil {
		return err
	}
	form, err := v.form()
	if err != nil {
		return err
	}
	id, err := p.api.buy(v.Context(), v.token, form.Get("key"), form.Get("pet"), form.Get("card"))
	if err != nil {
		return err
	}
	http.Redirect(v.w, v.Request, "/orders/"+id+"?new", http.StatusSeeOther)
	return nil
}

func (p *Pages) login(v *visit) error {
	form, err := v.form()
	if err != nil {
		return err
	}
	user := form.Get("user")
	if _, err := p.tokens.Token(v.Context(), user); err != nil {
		if errors.Is(err, ErrUnknownUser) {
			return service.NewProblem(http.StatusUnprocessableEntity, "There is no such user.").WithCause(err)
		}
		return err
	}
	if err := p.sessions.Begin(v.w, v.Request, user); err != nil {
		return err
	}
	http.Redirect(v.w, v.Request, localPath(form.Get("back")), http.StatusSeeOther)
	return nil
}

func (p *Pages) logout(v *visit) error {
	if err := p.sessions.End(v.w, v.Request); err != nil {
		return err
	}
	http.Redirect(v.w, v.Request, "/", http.StatusSeeOther)
	return nil
}

// fail shows err as a page, with what the shell would say about it.
func (p *Pages) fail(v *visit, err error) {
	var problem *service.Problem
	if !errors.As(err, &problem) || problem.Status == http.StatusInternalServerError {
		service.WriteError(v.w, v.Request, err) // the shell knows what to say, and says it as a problem
		return
	}
	if problem.Status == http.StatusUnauthorized && v.user != "" {
		p.tokens.Forget(v.user) // the next click fetches a fresh one
	}
	noteFailure(v.Context(), problem, err)
	if renderErr := p.render(v, problem.Status, "problem", page{Title: http.StatusText(problem.Status), Problem: problem}); renderErr != nil {
		service.WriteError(v.w, v.Request, err)
	}
}

// render writes a page at once, so that a template that fails leaves no half page behind.
func (p *Pages) render(v *visit, status int, name string, data page) error {
	data.User, data.Users, data.Back = v.user, p.tokens != nil, v.URL.Path
	data.CorrelationID = v.w.Header().Get("X-Correlation-Id")
	if v.Method != http.MethodGet {
		data.Back = "/"
	}
	var b bytes.Buffer
	if err := p.templates[name].ExecuteTemplate(&b, "layout", data); err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	_, _ = b.WriteTo(v.w) // the visitor has gone when it fails
	return nil
}
