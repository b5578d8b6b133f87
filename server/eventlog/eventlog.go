// Package eventlog keeps the events of each build: one ordered, append-only log a
// build, written in chunks, followed from any position while it grows.
package eventlog
