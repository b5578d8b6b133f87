package api

import (
	"math"
	"testing"
)

// An amount of memory that is read is one, however it is written.
func FuzzParseMemory(f *testing.F) {
	for _, text := range []string{"512MB", "1", "0", "9223372036854775807", "9007199254740992K", "8388608T", " 1 g ", "1.5GB", "-1", "1kib"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if bytes, err := ParseMemory(text); err == nil && bytes > math.MaxInt64 || err != nil && bytes != 0 {
			t.Errorf("%q gave %d (%v)", text, bytes, err)
		}
	})
}
