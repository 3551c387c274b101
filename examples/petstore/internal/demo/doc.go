// Package demo shows what the shop does and proves it: every claim is an assertion on what a running shop answered, and the first one
// that does not hold ends the demo with an error.
//
// A demo starts a shop of its own as a child process, on free ports, with data of its own, and talks to it like anybody else: over
// HTTP, and as a Kafka client that reads along. It ends the child whatever happens.
package demo
