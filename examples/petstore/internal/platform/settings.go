package platform

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/marty-framework/mmf/config"
	"github.com/marty-framework/mmf/resilience"
)

// Settings are the settings of the whole shop: one typed value, one tree of files. A service reads its own part and
// those that all services share. See [Load] for the layers.
type Settings struct {
	// Env is the environment: embedded, servers or prod.
	Env string `reload:"no"`
	// HTTP says where services listen and how they find each other.
	HTTP HTTPSettings `reload:"no"`
	// Auth says whose tokens count.
	Auth AuthSettings `reload:"no"`
	// DB says where services keep what they know.
	DB DBSettings `reload:"no"`
	// Kafka and Redis are shared by all services.
	Kafka KafkaSettings `reload:"no"`
	Redis RedisSettings `reload:"no"`
	// Saga is how the order service's engine works.
	Saga SagaSettings `reload:"no"`
	// Obs is how much is logged and traced.
	Obs ObsSettings `reload:"no"`
	// Drain is the budget of each phase of a shutdown.
	Drain DrainSettings `reload:"no"`
	// Policies are the resilience policies by name.
	Policies []resilience.Config `reload:"no"`
	// Pricing is what the order service adds to a pet's price.
	Pricing PricingSettings
	// Limits bound what one customer may do.
	Limits LimitSettings
	// Payment and Delivery belong to the services of these names.
	Payment  PaymentSettings
	Delivery DeliverySettings
	// Fault makes things go wrong on purpose; refused when Env is prod.
	Fault FaultSettings `reload:"no"`
}

// HTTPSettings place the services. Public ports are PortBase plus an offset per service, admin ports 1000 above.
type HTTPSettings struct {
	// Host is the address to listen on. Default 127.0.0.1.
	Host string
	// PortBase is the edge's port; the other services follow (see [Services]). 0: every service takes a free port, so all
	// of them have to live in one process, or URLs must name the others.
	PortBase int
	// URLs name the services that live elsewhere, such as order: http://order:8082. Default: Host and the usual port.
	URLs map[string]string `config:"urls"`
	// AdminToken opens the admin listener where Host is not loopback.
	AdminToken config.Secret
}

// AuthSettings say whose tokens are accepted and how services get their own.
type AuthSettings struct {
	// Issuer is the URL of the OpenID Connect issuer. Default: the development issuer's own address.
	Issuer string
	// Audience that tokens must name.
	Audience string
	// ClientSecret is what services identify themselves with at the issuer; the client id is the service's name.
	ClientSecret config.Secret
}

// DBSettings choose the engine.
type DBSettings struct {
	// Driver is sqlite or postgres.
	Driver string
	// Dir holds one SQLite file per service. The embedded parts set it.
	Dir string
	// DSN reaches the Postgres server; each service's database is NamePrefix and its name there.
	DSN config.Secret
	// DSNs reach a service's database instead, by service name.
	DSNs map[string]config.Secret `config:"dsns"`
	// NamePrefix is what database names begin with.
	NamePrefix string
	// Create makes databases that do not exist, for development.
	Create bool
	// MaxConns is the size of each service's pool on Postgres.
	MaxConns int
}

// KafkaSettings reach the brokers.
type KafkaSettings struct {
	Brokers []string
	// Prefix is put before every topic and group, so that several shops can share a cluster.
	Prefix string
	// Partitions of each topic.
	Partitions int32
	// SessionTimeout is how long a process that died keeps its share of the partitions. Default 45 s; brokers usually want 6 s or more.
	SessionTimeout time.Duration
}

// RedisSettings reach Redis.
type RedisSettings struct {
	Addr     string
	Password config.Secret
	// Prefix is what keys begin with.
	Prefix string
}

// SagaSettings tune the engine of the order service.
type SagaSettings struct {
	// TTL is how long a process that died keeps its sagas, and the events that it had not published, from the others.
	TTL time.Duration
	// StepTimeout is how long a command waits for its reply before it is sent again.
	StepTimeout time.Duration
}

// ObsSettings say how much is written down.
type ObsSettings struct {
	LogLevel   string
	TraceRatio float64
}

// DrainSettings are the budgets of the shutdown's phases; negative: none.
type DrainSettings struct {
	Linger, Ingress, Work, Flush, Close time.Duration
}

// PricingSettings turn a pet's price into what the customer pays.
type PricingSettings struct {
	Currency string
	// TaxRate is a share of the price: 0.08 is 8 %.
	TaxRate float64
}

// LimitSettings bound what one customer may do.
type LimitSettings struct {
	// MaxOrdersPerCustomer counts orders that are neither approved nor cancelled. 0: no bound.
	MaxOrdersPerCustomer int
}

// PaymentSettings belong to the payment service.
type PaymentSettings struct {
	// GatewayURL is the card gateway. Empty: the payment service starts its simulator on loopback.
	GatewayURL string
	// GatewayKey is the API key there; the simulator needs none.
	GatewayKey config.Secret
}

// DeliverySettings belong to the delivery service.
type DeliverySettings struct {
	// SlotsPerDay is how many deliveries fit into one day.
	SlotsPerDay int
}

// FaultSettings make things go wrong on purpose.
type FaultSettings struct {
	Saga struct {
		// CrashAfterStep names a step of an order's saga: right after an attempt of it ended, the process kills itself.
		CrashAfterStep string
	}
}

// Defaults are the settings without any file.
func Defaults() Settings {
	return Settings{
		Env:      "embedded",
		HTTP:     HTTPSettings{Host: "127.0.0.1", PortBase: 8080},
		Auth:     AuthSettings{Audience: "petstore"},
		DB:       DBSettings{Driver: "sqlite", NamePrefix: "petstore_", MaxConns: 10},
		Kafka:    KafkaSettings{Partitions: 3},
		Redis:    RedisSettings{Prefix: "petstore"},
		Saga:     SagaSettings{TTL: 10 * time.Second, StepTimeout: 10 * time.Second},
		Obs:      ObsSettings{LogLevel: "info", TraceRatio: 1},
		Pricing:  PricingSettings{Currency: "USD", TaxRate: 0.08},
		Limits:   LimitSettings{MaxOrdersPerCustomer: 10},
		Delivery: DeliverySettings{SlotsPerDay: 50},
	}
}

// Environments that are known.
const (
	EnvEmbedded = "embedded"
	EnvServers  = "servers"
	EnvProd     = "prod"
)

// Validate checks what no single key can tell.
func (s Settings) Validate() error {
	var errs []error
	if !slices.Contains([]string{EnvEmbedded, EnvServers, EnvProd}, s.Env) {
		errs = append(errs, config.Invalid("env", "must be embedded, servers or prod, not %q", s.Env))
	}
	if s.Env == EnvProd && s.Fault.Saga.CrashAfterStep != "" {
		errs = append(errs, config.Invalid("fault.saga.crash_after_step", "faults are refused when env is prod"))
	}
	if s.Env == EnvProd {
		errs = append(errs, s.Auth.production())
	}
	if s.Env != EnvEmbedded { // the embedded parts fill these in
		errs = append(errs, s.servers())
	}
	return errors.Join(errs...)
}

// servers names everything that is missing to reach the servers.
func (s Settings) servers() error {
	var errs []error
	missing := func(key, variable, example string) {
		errs = append(errs, config.Invalid(key, "is missing when env is %s: set %s%s to %s", s.Env, EnvPrefix, variable, example))
	}
	if s.DB.Driver == "postgres" && s.DB.DSN.IsZero() && len(s.DB.DSNs) == 0 {
		missing("db.dsn", "DB_DSN", "postgres://user:password@host:port/database")
	}
	if len(s.Kafka.Brokers) == 0 {
		missing("kafka.brokers", "KAFKA_BROKERS", "host:port, or several with commas between")
	}
	if s.Redis.Addr == "" {
		missing("redis.addr", "REDIS_ADDR", "host:port")
	}
	return errors.Join(errs...)
}

// developmentSecret is the client secret of the built-in files, which everybody can read.
const developmentSecret = "petstore-development-only"

// production refuses what is for development only.
func (s AuthSettings) production() error {
	var errs []error
	if s.ClientSecret.IsZero() || s.ClientSecret.Reveal() == developmentSecret {
		errs = append(errs, config.Invalid("auth.client_secret",
			"must be a secret of your own when env is prod: set %sAUTH_CLIENT_SECRET", EnvPrefix))
	}
	if !strings.HasPrefix(s.Issuer, "https://") {
		errs = append(errs, config.Invalid("auth.issuer", "must be an issuer's https URL when env is prod: set %sAUTH_ISSUER", EnvPrefix))
	}
	return errors.Join(errs...)
}

// Validate checks where the services are.
func (s HTTPSettings) Validate() error {
	if s.PortBase < 0 || s.PortBase > 64000 {
		return config.Invalid("port_base", "must be 0 (free ports) or 1 to 64000, not %d", s.PortBase)
	}
	for name := range s.URLs {
		if !slices.Contains(Services(), name) {
			return config.Invalid("urls", "there is no service %q; services are %v", name, Services())
		}
	}
	return nil
}

// Validate checks the engine.
func (s DBSettings) Validate() error {
	switch s.Driver {
	case "sqlite", "postgres":
		return nil
	}
	return config.Invalid("driver", "must be sqlite or postgres, not %q", s.Driver)
}

// Validate checks the tax.
func (s PricingSettings) Validate() error {
	if s.TaxRate < 0 || s.TaxRate > 1 {
		return config.Invalid("tax_rate", "must be a share from 0 to 1 (8 %% is 0.08), not %v", s.TaxRate)
	}
	if s.Currency == "" {
		return config.Invalid("currency", "must not be empty")
	}
	return nil
}

// Validate checks the broker list.
func (s KafkaSettings) Validate() error {
	if s.Partitions < 1 || s.Partitions > 1000 {
		return config.Invalid("partitions", "must be 1 to 1000, not %d", s.Partitions)
	}
	return nil
}

// URL is where a service is reached, when it does not live in this process.
func (s HTTPSettings) URL(service string) (string, error) {
	if url, ok := s.URLs[service]; ok {
		return url, nil
	}
	port, ok := s.port(service)
	if !ok {
		return "", fmt.Errorf("platform: there is no service %q; services are %v", service, Services())
	}
	if port == 0 {
		return "", fmt.Errorf("platform: service %q does not live in this process and its port is not known: set http.urls.%s, or http.port_base",
			service, service)
	}
	return fmt.Sprintf("http://%s:%d", s.Host, port), nil
}

// port is the service's public port, 0 for a free one.
func (s HTTPSettings) port(service string) (int, bool) {
	i := slices.Index(Services(), service)
	if i < 0 || s.PortBase == 0 {
		return 0, i >= 0
	}
	return s.PortBase + i, true
}

// Services are the names of all services, in the order of their ports: edge at the base, catalog next to it, and so on.
func Services() []string {
	return []string{"edge", "catalog", "order", "payment", "delivery", "issuer"}
}
