// Package sagatest helps to prove sagas and the stores they live in.
//
// # A saga in ten lines
//
// Build the fakes and the definition; [Explore] makes the faults:
//
//	func TestPlaceOrder(t *testing.T) {
//		sagatest.Explore(t, Order{Cents: 500}, func(w *sagatest.World) *saga.Def[Order] {
//			shop := &Shop{Payments: fakePayments{w.Participant("payments")}, Stock: fakeStock{w.Participant("stock")}}
//			w.Always("goods leave only when paid", shop.paidBeforeLeaving)
//			return PlaceOrder(shop)
//		})
//	}
//
//	func (f fakePayments) Authorise(ctx context.Context, key string, cents int) (string, error) {
//		return "pay-1", f.at.Do(ctx, key) // has its effect once per key; ctx is the step's
//	}
//
// It runs the saga under every single fault and every pair of faults on the real engine, in virtual time, hundreds of schedules a second,
// and shows the shortest schedule that breaks a promise: as a diagram, by the name of the bug, and as a string that [Replay] takes.
// That every compensation is reached, survives its repetition, and is safe when its step never happened is part of every report
// ([UndoAudit]).
//
// A database, if steps need one, comes with [Schema]. Steps of other services run behind their real handlers: [World.Write] is the outbox,
// [World.Consume] the broker, [World.OtherDB] their database. [Signal] answers an Await. [Random] draws schedules instead.
//
// # Runs of processes
//
// [Check] looks at a recorded [History] of any run, whoever made the faults, for the properties SAFE and LIVE of docs/guarantees.md.
//
// # Stores
//
// [ExerciseStore] is the contract of [saga.Store] as tests: every store of MMF passes it, and so must yours. [NewStore] is one in memory, for
// tests. [CountTrips] asserts what a saga costs.
//
// # What it does not do
//
// It kills no process and pulls no plug: a crash is simulated in front of the store, and the commit of a transaction is taken at its word.
// Effects that fakes have without a [Participant] are seen by your own invariants only. Branches that run side by side are delayed in turn
// ([Slow]), not interleaved in every possible way.
package sagatest
