// Package payment is the payment service: it charges customers through the gateway, keeps a double-entry ledger, and gives
// money back.
package payment
