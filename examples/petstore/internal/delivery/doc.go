// Package delivery is the delivery service: it gives each order a slot of a day and takes it back when the order is
// cancelled.
package delivery
