package store

import "time"

type uploads struct{ grace time.Duration }

func (u *uploads) init(grace time.Duration) { u.grace = grace }
