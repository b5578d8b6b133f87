// Package hijack holds sessions in containers, at both ends: the server's Sessions,
// each a process that outlives the connections to it; the two wires over which
// clients attach to one; and Run, the user's end, which joins a terminal or pipes
// to a session and keeps them joined when the network does not.
//
// A session belongs to the server. Its output is numbered and its input counted,
// so that a client that comes back gets what it missed, and nothing that was typed
// is lost or doubled. docs/hijack.md describes our own wire, frame by frame; the
// other is that of Concourse's fly.
//
// The package does not know how containers are chosen, who may hijack them, or what
// is said to the user before and after a session.
package hijack
