package service

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/security"
)

// Config is the settings of one service. Only Name is required.
type Config struct {
	// Name names the service in logs, challenges and the report. Required.
	Name string
	// Addr is the public listen address. Default ":8080". Port 0 picks a free one, for tests.
	Addr string
	// AdminAddr is the listen address for health, metrics, routes and profiles. Default: Addr's port + 1000 on 127.0.0.1.
	// Off loopback AdminToken is required.
	AdminAddr string
	// DisableAdmin opens no admin listener.
	DisableAdmin bool
	// AdminToken is what admin requests carry as "Authorization: Bearer …" when AdminAddr is off loopback; health and
	// metrics need none. At least 16 characters.
	AdminToken string
	// AdminHosts are the names by which the admin listener may be called besides localhost and IP addresses. Others are
	// refused, so that a web page cannot reach it by rebinding its own name.
	AdminHosts []string
	// Owner is the default of [Route.Owner], such as a team's name.
	Owner string
	// Edge says that strangers call this service: their traceparent becomes a link instead of a parent.
	Edge bool
	// TrustedProxies are the networks whose X-Forwarded-For is believed when the caller's address is looked for, such as
	// the load balancer's. Default none: the peer's address counts.
	TrustedProxies []netip.Prefix

	// ReadHeaderTimeout bounds reading a request's header. Default 5 s.
	ReadHeaderTimeout time.Duration
	// ReadTimeout bounds reading a request where no route takes it; a route's timeout, plus 5 s, replaces it. Default 30 s.
	ReadTimeout time.Duration
	// WriteTimeout bounds a request from the end of its header to the end of its reply where no route takes it; a route's
	// timeout, plus 5 s, replaces it. Default 60 s.
	WriteTimeout time.Duration
	// IdleTimeout is how long an idle connection is kept. Default 120 s.
	IdleTimeout time.Duration
	// MaxHeaderBytes bounds a request's header. Default 64 KiB.
	MaxHeaderBytes int
	// DefaultTimeout is the default of [Route.Timeout]. Default 30 s.
	DefaultTimeout time.Duration
	// DefaultMaxBody is the default of [Route.MaxBody] in bytes. Default 1 MiB.
	DefaultMaxBody int64

	// Drain is the budget of each phase of the shutdown.
	Drain DrainBudget
	// MapError turns an application's errors into problems; it is asked before the table of [WriteError]. Nil, or a nil
	// result: the table decides.
	MapError func(err error) *Problem
	// OnReport is called with the report when Run is about to return. The report is logged in any case.
	OnReport func(Report)
}

// DrainBudget bounds each phase of a shutdown. Zero fields get the default, negative ones mean no time at all. The
// defaults add up to 27 s, within the 30 s that Kubernetes gives a pod.
type DrainBudget struct {
	// Linger is how long the service serves on after it said that it is not ready. Always spent in full. Default 3 s.
	Linger time.Duration
	// Ingress is for requests in flight and consumers. Default 10 s.
	Ingress time.Duration
	// Work is for background work. Default 8 s.
	Work time.Duration
	// Flush is for telemetry. Default 3 s.
	Flush time.Duration
	// Close is for clients: databases, brokers. Default 3 s.
	Close time.Duration
}

func (b DrainBudget) withDefaults() DrainBudget {
	for _, f := range []struct {
		value *time.Duration
		or    time.Duration
	}{
		{&b.Linger, 3 * time.Second},
		{&b.Ingress, 10 * time.Second},
		{&b.Work, 8 * time.Second},
		{&b.Flush, 3 * time.Second},
		{&b.Close, 3 * time.Second},
	} {
		if *f.value == 0 {
			*f.value = f.or
		}
		*f.value = max(*f.value, 0)
	}
	return b
}

// Total is the longest that a shutdown can take; a supervisor that kills must wait longer.
func (b DrainBudget) Total() time.Duration {
	b = b.withDefaults()
	return b.Linger + b.Ingress + b.Work + b.Flush + b.Close
}

// Deps are a service's collaborators; all are optional.
type Deps struct {
	// Telemetry receives logs, traces and metrics. Nil: the service makes its own and ends it in the drain.
	Telemetry *observability.Telemetry
	// Health answers /readyz. The service runs it. Nil: one without checks.
	Health *observability.Health
	// Authenticator finds out who calls. Without it only routes with security.Public register.
	Authenticator security.Authenticator
	// Authorizer decides on top of who calls. Nil: the route's policy alone decides.
	Authorizer security.Authorizer
	// Limiter counts calls. Without it no route with a limit registers.
	Limiter security.Limiter
	// Hooks are told about refusals.
	Hooks Hooks
}

func (c Config) withDefaults() Config {
	if c.Addr == "" {
		c.Addr = ":8080"
	}
	for _, f := range []struct {
		value *time.Duration
		or    time.Duration
	}{
		{&c.ReadHeaderTimeout, 5 * time.Second},
		{&c.ReadTimeout, 30 * time.Second},
		{&c.WriteTimeout, 60 * time.Second},
		{&c.IdleTimeout, 120 * time.Second},
		{&c.DefaultTimeout, 30 * time.Second},
	} {
		if *f.value == 0 {
			*f.value = f.or
		}
	}
	if c.MaxHeaderBytes == 0 {
		c.MaxHeaderBytes = 64 << 10
	}
	if c.DefaultMaxBody == 0 {
		c.DefaultMaxBody = 1 << 20
	}
	c.Drain = c.Drain.withDefaults()
	return c
}

func (c Config) validate() error {
	var problems []error
	if strings.TrimSpace(c.Name) == "" {
		problems = append(problems, errors.New("service: Name is empty: name the service, for example \"order\""))
	}
	for _, f := range []struct {
		name  string
		value time.Duration
	}{
		{"ReadHeaderTimeout", c.ReadHeaderTimeout},
		{"ReadTimeout", c.ReadTimeout},
		{"WriteTimeout", c.WriteTimeout},
		{"IdleTimeout", c.IdleTimeout},
		{"DefaultTimeout", c.DefaultTimeout},
	} {
		if f.value < 0 {
			problems = append(problems, fmt.Errorf("service: %s is %v: it must be positive, or 0 for the default", f.name, f.value))
		}
	}
	if c.MaxHeaderBytes < 0 || c.DefaultMaxBody < 0 {
		problems = append(problems, errors.New("service: MaxHeaderBytes and DefaultMaxBody must not be negative"))
	}
	if c.AdminToken != "" && len(c.AdminToken) < 16 {
		problems = append(problems, errors.New("service: AdminToken is shorter than 16 characters: make one with `openssl rand -hex 16`"))
	}
	return errors.Join(problems...)
}

// withAdminAddr fills in AdminAddr and refuses one that would be open to a network without a token.
func (c Config) withAdminAddr() (Config, error) {
	_, port, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return c, fmt.Errorf("service: Addr %.80q: %w: write it like \":8080\" or \"127.0.0.1:8080\"", c.Addr, err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return c, fmt.Errorf("service: Addr %.80q: the port must be a number from 0 to 65535", c.Addr)
	}
	if c.DisableAdmin {
		return c, nil
	}
	if c.AdminAddr == "" {
		admin := number + 1000
		if number == 0 {
			admin = 0
		}
		if admin > 65535 {
			return c, fmt.Errorf("service: Addr %q leaves no room for the admin port (port + 1000): set AdminAddr", c.Addr)
		}
		c.AdminAddr = net.JoinHostPort("127.0.0.1", strconv.FormatUint(admin, 10))
	}
	adminHost, _, err := net.SplitHostPort(c.AdminAddr)
	if err != nil {
		return c, fmt.Errorf("service: AdminAddr %.80q: %w: write it like \"127.0.0.1:9080\"", c.AdminAddr, err)
	}
	if !loopback(adminHost) && c.AdminToken == "" {
		return c, fmt.Errorf("service: AdminAddr %q is not a loopback address and AdminToken is empty: "+
			"profiles and operator actions would be open to the network; set AdminToken or listen on 127.0.0.1", c.AdminAddr)
	}
	return c, nil
}

// loopback reports whether a listen host is reachable from this machine only.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
