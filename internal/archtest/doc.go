// Package archtest keeps what the architecture promises and no compiler checks: who may import whom, how much a user of
// one package links, that every exported symbol says what it does, and that README.md shows code that compiles.
//
// The rules are data: [Table] and [Confined] for imports, [Ceilings] for weight. The tests of this package apply them to
// the repository, and show on made-up repositories that a broken rule is found. Run them with
//
//	make arch       # everything, as CI does
//	make budgets    # after a change of weight that is meant: measure again and commit the result
//	make readme     # after a change to code that README.md shows
package archtest
