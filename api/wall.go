package api

import "time"

// Wall is the message for everybody. TTL is how long it stays, in nanoseconds; 0 is for ever.
type Wall struct {
	Message string        `json:"message,omitempty"`
	TTL     time.Duration `json:"TTL,omitempty"`
}
