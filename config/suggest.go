package config

import (
	"fmt"
	"slices"
)

// didYouMean proposes the nearest of the known names, or nothing.
func didYouMean(name string, known []string) string {
	best, distance := "", 1+max(1, min(3, len(name)/3))
	for _, candidate := range slices.Sorted(slices.Values(known)) {
		if d := editDistance(name, candidate); d < distance {
			best, distance = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// editDistance is the Levenshtein distance with swaps of neighbours counted once; long names are not compared.
func editDistance(a, b string) int {
	const far = 1 << 10
	if len(a) > 100 || len(b) > 100 {
		return far
	}
	var before, last []int
	current := make([]int, len(b)+1)
	for j := range current {
		current[j] = j
	}
	for i := range len(a) {
		before, last, current = last, current, make([]int, len(b)+1)
		current[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			current[j+1] = min(last[j+1]+1, current[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				current[j+1] = min(current[j+1], before[j-1]+1)
			}
		}
	}
	return current[len(b)]
}
