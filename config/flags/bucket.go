package flags

import "math"

// share is a variant's part of a split.
type share struct {
	variant string
	weight  uint64
}

// pick chooses by flagd's arithmetic: the absolute value of the hash taken as a signed number, as a part of the largest
// such number.
func pick(by string, shares []share, total uint64) string {
	hash := int64(int32(murmur3([]byte(by))))
	return pickAt(uint64(max(hash, -hash)), shares, total)
}

// pickAt works in integers, so that no rounding moves a border. The two largest hashes fall on or behind the last border
// and get the last variant that has a weight.
func pickAt(hash uint64, shares []share, total uint64) string {
	point := hash * total // below 2^63, as neither is above 2^31
	var border uint64
	last := ""
	for _, s := range shares {
		if s.weight == 0 {
			continue
		}
		last = s.variant
		border += s.weight
		if point < border*math.MaxInt32 {
			return s.variant
		}
	}
	return last
}
