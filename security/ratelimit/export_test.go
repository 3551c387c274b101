package ratelimit

import "time"

// SetTimeout lets a test of decisions wait for a busy machine, beyond what a configuration may ask for.
func (r *Redis) SetTimeout(d time.Duration) { r.cfg.Timeout = d }
