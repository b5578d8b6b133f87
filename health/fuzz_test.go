package health

import (
	"testing"

	"midge/api"
)

func FuzzParseThreshold(f *testing.F) {
	for _, text := range []string{"disk.free_bytes<20GB", "*.age_seconds>120", "worker a.b.containers > 1e3", "a.b<", ".a<1", "a.b<NaN"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		threshold, err := ParseThreshold(api.VerdictWarning, text)
		if err == nil && (threshold.Part == "" || threshold.Field == "") {
			t.Errorf("%q gave %+v", text, threshold)
		}
	})
}
