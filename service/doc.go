// Package service is the shell around the handlers of one HTTP service: routes that each declare who may call them and
// how often, errors as RFC 9457 problems, an admin listener, background components, and a shutdown in phases.
//
// The problem: everything a service must not forget around its handlers. A route without a policy does not register. A
// handler that panics, runs out of time or returns a database error answers with a problem that gives nothing away. A
// signal first makes the service unready, then lets what was begun finish, then flushes telemetry, then closes clients.
//
// The smallest complete use:
//
//	svc, err := service.New(service.Config{Name: "pets", Addr: "127.0.0.1:8081"}, service.Deps{})
//	if err != nil { … }
//	err = svc.Handle(service.Route{
//		Pattern: "GET /pets/{id}", Operation: "get-pet", Policy: security.Public(),
//		Handler: service.JSON(func(ctx context.Context, in GetPet) (Pet, error) { … }),
//	})
//	if err != nil { … }
//	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
//	defer stop()
//	err = svc.Run(ctx)
//
// A route for callers who are known needs [Deps].Authenticator, such as an oidc.Verifier, and a policy such as
// security.Authenticated(). What else runs in the process, such as a saga engine or a relay, is added with [Service.Add]:
//
//	err = svc.Add(service.Component{Name: "sagas", Run: engine.Run})
//
// # Errors
//
// A handler returns its error and [WriteError] has the table of what becomes of it. Errors of the application and of
// packages that are not in the table are 500 until [Config.MapError] knows them, for example saga.ErrConflict, which most
// services want to be 409:
//
//	MapError: func(err error) *service.Problem {
//		if errors.Is(err, saga.ErrConflict) {
//			return service.NewProblem(http.StatusConflict, "This id was used for another order.")
//		}
//		return nil // the table decides
//	}
//
// # Order around a handler
//
// Telemetry, recover, drain, the route's deadline, authenticate, authorise, rate limit, body limit, handler. /healthz
// and /readyz are answered in front of all that: they must answer when nothing else does, and leave no trace.
//
// # Drain
//
// [Service.Run] returns when its context ends or a component fails, after: not ready → linger (load balancers notice) →
// stop ingress (listeners close, requests in flight finish) → finish work → flush telemetry → close clients. Each phase
// has a budget of its own, so a slow one does not eat the next; what overran is in the [Report]. The linger, 3 s by default, is
// always spent: where nobody balances, such as on a developer's machine, set [DrainBudget].Linger to -1 and Ctrl-C does
// not wait.
//
// # What it does not do
//
// No TLS (a proxy or the platform does it), no CORS, no sessions, no dependency injection (servicefx has that). A
// handler that ignores its context cannot be stopped: its reply comes late or is cut when the drain's budget ends.
package service
