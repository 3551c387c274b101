// Package domain holds what payment knows about money: what a payment is, which transitions it has, and what each of
// them writes into a double-entry ledger. It is pure: no clock, no database, no network.
package domain
