// Package mmf is the map of MMF for Go, a library that gives a microservice durable sagas, events, telemetry, resilience,
// live configuration, flags, authentication and limits on the PostgreSQL, Kafka and Redis a team already runs. It holds no
// code: import the packages you need, each of which links only what it needs.
//
// # Sagas
//
//   - [github.com/marty-framework/mmf/saga]: a business transaction over several services as a declared, typed value, and
//     the engine that carries it out or takes it back
//   - saga/sagapg, saga/sagasqlite: stores of the engine
//   - saga/sagakafka: steps that another service carries out, over Kafka
//   - saga/sagatest: what every store must do
//
// # Data and events
//
//   - [github.com/marty-framework/mmf/data]: transactions, databases and events as small interfaces
//   - data/datapg, data/datasqlite: drivers; data/datatest: what every driver must do
//   - data/migrate: schemas that travel with the package that owns them
//   - data/outbox, data/inbox: events that commit with the change they tell of, and effects that happen once
//   - data/kafka: publisher and consumer runtime
//
// # The service around them
//
//   - [github.com/marty-framework/mmf/service]: HTTP with a policy on every route, admin port, drain in phases
//   - [github.com/marty-framework/mmf/observability]: logs, traces, metrics and health that agree with each other
//   - [github.com/marty-framework/mmf/resilience]: named policies: breaker, retry, timeout, bulkhead, fallback;
//     resilience/resiliencehttp: the same around an HTTP client
//   - [github.com/marty-framework/mmf/config]: layered, typed, validated values that reload; config/flags: feature flags
//   - [github.com/marty-framework/mmf/security]: principals, authentication, authorization, limits;
//     security/oidc: tokens of an OpenID Connect issuer; security/ratelimit: counts in the process or in Redis;
//     security/securityhttp: a service's own token on its calls
//
// # Names
//
// A package that ends in fx wires its family into go.uber.org/fx and nothing else does; every constructor works by hand.
// Endings in test, http, pg, sqlite and kafka name test kits, transports and adapters. Imports go from the adapters down
// to the cores and never back, which internal/archtest keeps.
package mmf
