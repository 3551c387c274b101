// Package embedded starts what the shop needs besides itself inside its own process: a Kafka broker in a box with its log on
// disk, a Redis in a box, and a folder for databases. Everything listens on loopback and speaks the real protocols, so the services
// notice no difference.
//
// It is for development and demonstrations. The broker keeps one copy, on this disk; Redis keeps nothing.
package embedded
