package server_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"midge/api"
	"midge/server/servertest"
)

// schema is as much of JSON Schema as docs/status.schema.json uses.
type schema struct {
	Ref        string             `json:"$ref"`
	Defs       map[string]*schema `json:"$defs"`
	Type       string             `json:"type"`
	Enum       []string           `json:"enum"`
	Minimum    *float64           `json:"minimum"`
	Required   []string           `json:"required"`
	Properties map[string]*schema `json:"properties"`
	Additional *schema            `json:"additionalProperties"`
	Items      *schema            `json:"items"`
}

// check gives what is wrong with a value. The schema says that fields may be added;
// the document of this version has none but those that it names.
func (s *schema) check(top *schema, at string, value any) []string {
	if name, ok := strings.CutPrefix(s.Ref, "#/$defs/"); ok {
		return top.Defs[name].check(top, at, value)
	}
	var wrong []string
	is := ""
	switch value := value.(type) {
	case map[string]any:
		is = "object"
		for _, name := range s.Required {
			if _, ok := value[name]; !ok {
				wrong = append(wrong, at+" has no "+name)
			}
		}
		for name, field := range value {
			of := s.Properties[name]
			if of == nil {
				of = s.Additional
			}
			if of == nil {
				wrong = append(wrong, at+" has a field that is not in the schema: "+name)
				continue
			}
			wrong = append(wrong, of.check(top, at+"."+name, field)...)
		}
	case []any:
		is = "array"
		for i, item := range value {
			wrong = append(wrong, s.Items.check(top, fmt.Sprintf("%s[%d]", at, i), item)...)
		}
	case string:
		is = "string"
		if s.Enum != nil && !slices.Contains(s.Enum, value) {
			wrong = append(wrong, fmt.Sprintf("%s is %q", at, value))
		}
	case float64:
		if is = "number"; s.Type == "integer" && value == math.Trunc(value) {
			is = "integer"
		}
		if s.Minimum != nil && value < *s.Minimum {
			wrong = append(wrong, fmt.Sprintf("%s is %v", at, value))
		}
	}
	if is != s.Type {
		wrong = append(wrong, fmt.Sprintf("%s is of type %q, not %q", at, is, s.Type))
	}
	return wrong
}

func TestStatusIsAsItsSchemaSays(t *testing.T) {
	text, err := os.ReadFile("../docs/status.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var top schema
	if err := json.Unmarshal(text, &top); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	waitForStatus(t, someone, func(status api.Status) bool {
		return slices.ContainsFunc(status.Parts, func(part api.StatusPart) bool { return len(part.Values) > 0 && part.LastRun > 0 })
	})
	var document any
	decode(t, someone.want(http.StatusOK, "GET", "/api/v1/status", ""), &document)
	for _, wrong := range top.check(&top, "the status", document) {
		t.Error(wrong)
	}
	if wrong := top.check(&top, "the status", map[string]any{"verdict": "fine", "time": 1.5, "more": "x"}); len(wrong) != 4 {
		t.Errorf("of a document that is wrong four times it says %q", wrong)
	}
	// Every field of the types is described.
	for name, fields := range map[string]reflect.Type{"status": reflect.TypeFor[api.Status](), "part": reflect.TypeFor[api.StatusPart]()} {
		described := top.Properties
		if name == "part" {
			described = top.Defs["part"].Properties
		}
		var tags []string
		for field := range fields.Fields() {
			tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			tags = append(tags, tag)
		}
		slices.Sort(tags)
		if got := slices.Sorted(maps.Keys(described)); !slices.Equal(got, tags) {
			t.Errorf("of %s the schema describes %v, and there are %v", name, got, tags)
		}
	}
}
