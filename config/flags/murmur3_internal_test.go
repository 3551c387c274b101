package flags

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMurmur3Vectors are published results for seed 0, of every length of the tail.
func TestMurmur3Vectors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]uint32{
		"": 0, "hello": 0x248bfa47, "hello, world": 0x149bbb7f, "19 Jan 2038 at 3:14:07 AM": 0xe31e8a70,
		"The quick brown fox jumps over the lazy dog.": 0xd5c48bfc, "The quick brown fox jumps over the lazy dog": 0x2e4ff723,
		"\x00": 0x514e28b7, "\x00\x00": 0x30f4c306, "\x00\x00\x00": 0x85f0b427, "\x00\x00\x00\x00": 0x2362f9de, "\xff\xff\xff\xff": 0x76293b50,
	} {
		require.Equal(t, want, murmur3([]byte(text)), "%q", text)
	}
}

// TestPickAtTheEdges: the two largest values lie on and behind the last border and get the last variant that has a weight.
func TestPickAtTheEdges(t *testing.T) {
	t.Parallel()
	shares := []share{{"a", 1}, {"b", 1}, {"c", 0}}
	require.Equal(t, "a", pickAt(0, shares, 2))
	require.Equal(t, "b", pickAt(1<<31, shares, 2))
	require.Equal(t, "b", pickAt(1<<31-1, shares, 2))
}
