// Package flags decides at run time what a program does: kill switches, rollouts by percentage, experiments. Flags are a
// JSON file in flagd's schema, so flagd and OpenFeature providers can serve the same file; here they are evaluated in the
// process.
//
//	set, err := flags.Load(ctx, flags.Options{Files: []string{"config/flags.json"}})
//	…
//	go set.Run(ctx) // follows the file; without it the flags stay as they were loaded
//	express := flags.Bool(set, "express_order_processing", true)
//	…
//	ctx = flags.WithSubject(ctx, customer.ID, map[string]any{"role": "premium"})
//	if express.Get(ctx) { … }
//
// The smallest file with a flag that this reads:
//
//	{"flags": {"express_order_processing": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "on"}}}
//
// # The part of the schema that is understood
//
// A flag has state, variants (all booleans, strings, numbers or objects), defaultVariant (null means the caller's
// default) and targeting. Rules are JsonLogic with var, if, ==, !=, ===, !==, !, !!, and, or, in, <, <=, >, >=, cat,
// starts_with, ends_with, and flagd's fractional. Anything else, such as $ref or sem_ver, refuses the file instead of
// being passed over. $flagd.flagKey is known, $flagd.timestamp is not: an evaluation depends on the flags and the subject
// alone.
//
// # Rollouts
//
// fractional puts a subject into a bucket by the murmur3 hash of the flag's key and the subject's key, or of an
// expression, with flagd's arithmetic. The bucket is the same in every process and after every restart. Raising the
// weight of the first variant at the expense of the next keeps everybody who had the first: [["on", 10], ["off", 90]] to
// [["on", 20], ["off", 80]].
//
// # Failure semantics
//
// An evaluation never fails and never panics: for an unknown flag, a variant of another type, a disabled flag or a rule
// without an answer the handle's default or the flag's default variant is given, and [Detail] says why. A file is
// validated whole: [Load] refuses it, a reload keeps the last good flags. Duplicate keys, rules that are too deep or too
// many, and files that are too large are refused.
//
// # What it does not do
//
// It does not write the file; [Set.Override] is for one process and ends by itself.
package flags
