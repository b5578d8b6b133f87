package hijack

import (
	"testing"

	"midge/api"
)

// What a client asks to be run has a command, or is refused.
func FuzzProcess(f *testing.F) {
	for _, text := range []string{
		`{"path":"sh","args":["-c","true"],"env":["A=b"],"user":"root","tty":{"window_size":{"columns":80,"rows":24}}}`,
		`{"path":"sh","tty":{"window_size":{"columns":-1,"rows":70000}}}`, `{"path":1}`, `{}`, `null`, ``,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		process, err := decodeMessage[api.HijackProcess](frame{data: text})
		if err != nil {
			return
		}
		spec, err := processSpec(process, false)
		if err == nil && (spec.Path == "" || spec.Privileged) {
			t.Errorf("%q gave %+v", text, spec)
		}
	})
}
