// Package saga carries out business processes that span services and must end either done or taken back, whatever crashes
// in between. A saga is a declared tree of named steps over a typed state, each step with its compensation beside it. It
// runs on the service's own database, in any of the service's processes, with no server to operate.
//
//	authorise := saga.Step("authorise-payment", shop.Authorise).Undo(shop.VoidPayment).
//		Into(func(o *Order, p Payment) { o.Payment = p })
//	reserve := saga.Step("reserve-stock", shop.Reserve).Undo(shop.Release).
//		Into(func(o *Order, r Reservation) { o.Stock = r })
//	placeOrder := saga.Define("place-order", 1,
//		authorise, reserve,
//		saga.Pivot("capture-payment", shop.Capture),
//		saga.Retriable("hand-over", shop.HandOver))
//
//	engine, err := saga.New(saga.Config{}, store, placeOrder) // store: sagapg or sagasqlite
//	go engine.Run(ctx)
//	run, err := placeOrder.Start(ctx, engine, "order-17", Order{…})
//	order, err := run.Result(ctx)
//
// # What is promised
//
// A started saga reaches an end: completed, or compensated in the reverse of the order in which it ran, or it parks, which
// is visible and waits for a person. A step ends done, rejected ([Reject]: no effect happened) or unknown (it timed out,
// crashed, or used up its [Retry]); an unknown step is compensated too, so an Undo must be safe for a step that never
// happened. Functions of steps may run more than once, always with the same [Ctx.Key]: at least once for [Step], [Pivot]
// and [Retriable]; exactly once for [TxStep], which commits together with its record in the saga's database; for [Remote]
// the command is sent at least once and its effect happens once behind a participant's barrier (package sagakafka).
//
// Ownership is a lease in database time; every write carries it, and a node that was taken over writes nothing. Attempts,
// retry times and deadlines are durable. A waiting saga is a row, not a goroutine.
//
// # Nodes
//
// [Parallel], [When] and [Sequence] group steps over one state. [Each] does the same for every item of a slice, [Child] runs another
// definition over a part of the state; what stands in them has a state of its own and a path for a name, such as "ship[3]/book".
//
// # Looking at a definition
//
// [Def.SVG] and [Def.Mermaid] draw it, [Def.SVGOf] and [Def.MermaidOf] draw one run of it. [Lint] warns of what runs and will
// hurt. [Diff] tells what a new version changes, and which sagas under way would fit it.
//
// # Helping sagas that are stuck
//
// [Engine.Search] finds sagas by state, age and [Def.Searchable] attributes without reading journals, [Engine.Show] tells
// everything about one. [Engine.Intervene] pauses, resumes, retries, cancels and terminates, skips, resolves and rejects
// steps; [Engine.Bulk] does so for all that a search finds, [Engine.Fork] goes on elsewhere. Each leaves one record with who
// and why, and its answer is what the journal says.
//
// # Limits and times
//
// A [Queue] limits how many sagas run at once and how fast they begin, in order of priority and one at a time per key. A
// [Schedule] starts one saga at each time of a cron expression, and makes up what was missed. Both hold for all processes of
// the service together.
//
// # What it does not do
//
// It isolates nothing: other transactions see a saga's intermediate effects. It does not replay code: change the tree under
// a new version and register the old one beside it until its sagas have ended.
package saga
