package api

import (
	"reflect"
	"testing"
)

// A reference that is read is written as one that is read alike.
func FuzzParseReference(f *testing.F) {
	for _, text := range []string{"a", "a.b", `"a.b".c`, "s:a.b", ".:a", `s:"a"`, `"`, ".", " a . b ", "é"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := ParseReference(text)
		if err != nil {
			return
		}
		if again, err := ParseReference(ref.String()); err != nil || !reflect.DeepEqual(again, ref) {
			t.Errorf("%q is %+v, and written as %q %+v (%v)", text, ref, ref.String(), again, err)
		}
	})
}

// Variables of a command line and of files are read, or what is wrong is said.
func FuzzParseVariables(f *testing.F) {
	f.Add("a=b", "a.b=[1, {c: d}]", []byte("a: {b: 1}\n\"x.y\": null\n"))
	f.Add(`"a=b".c=d`, "=", []byte("[]"))
	f.Add("a", "a={", []byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, text, yaml string, file []byte) {
		variables, err := ParseVariables([]string{text}, []string{yaml}, []VariablesFile{{Name: "file", Data: file}})
		if err == nil && variables.layers == nil || err != nil && err.Error() == "" {
			t.Errorf("they gave %+v and %q", variables, err)
		}
	})
}
