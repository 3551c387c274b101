// Package gateway simulates the payment provider: another company, reached over HTTP only, with a database of its own.
//
//	g, err := gateway.New(gateway.Config{APIKey: key}, db)
//	err = g.Migrate(ctx)
//	err = g.Listen(ctx)
//	err = g.Run(ctx) // in a goroutine of its own; g.URL() is where it answers
//
// What it promises its clients, as good providers do: a charge happens once per Idempotency-Key, a repetition gets the
// first answer, and a reversal takes back whatever became of a key: a captured charge is refunded once, and a key that was
// never seen is voided, so that a charge still on its way under it can no longer happen. Its book is committed before it
// answers, so a kill -9 of the process loses no charge.
//
// Payment methods decide how it behaves; see [Visa] and its siblings. It is a stand-in for demos and tests: no cards, no
// settlement, no webhooks.
package gateway
