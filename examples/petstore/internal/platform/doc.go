// Package platform is what every service of the petstore gets before it writes its first line: settings, a shell with
// routes and drain, telemetry, a database with an outbox, Kafka, Redis, an authenticator, tokens and clients for its own
// calls.
//
// A service is one function:
//
//	func Build(ctx context.Context, s *platform.Service) error {
//		if err := s.Migrate(ctx, migrations); err != nil {
//			return err
//		}
//		repo := adapters.NewSQL(s.DB)
//		return errors.Join(
//			s.Shell.Handle(api.Routes(repo)...),
//			s.Consume("petstore.order.events.v1", kafka.ByType(…)),
//		)
//	}
//
// Several services can live in one process; each has a database, an outbox, clients, telemetry and listeners of its own, and they
// talk through Kafka and HTTP on loopback as if they were apart.
package platform
