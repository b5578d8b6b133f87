package health

import (
	"os"
	"path/filepath"
	"testing"
)

// A file of thresholds gives some, or says what is wrong.
func FuzzReadThresholds(f *testing.F) {
	for _, text := range []string{"warn: [disk.free_bytes<20GB]\ncritical: ['*.age_seconds>120']\n", "warn: x\n", "wran: []\n", "", "a: &a [*a]", "\x00"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "thresholds.yml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		thresholds, err := ReadThresholds(path)
		for _, threshold := range thresholds {
			if threshold.Part == "" || threshold.Field == "" || err != nil {
				t.Errorf("%q gave %+v (%v)", text, threshold, err)
			}
		}
	})
}
