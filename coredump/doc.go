// Package coredump keeps what a process knows, such as tokens, passwords and params, from
// being kept by the machine when the process crashes.
package coredump
