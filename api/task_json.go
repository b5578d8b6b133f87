package api

import (
	"bytes"
	"encoding/json"
)

// UnmarshalJSON takes params of any JSON value, as Concourse does: null is empty,
// numbers and booleans are as they are written, lists and maps are their JSON.
func (c *TaskConfig) UnmarshalJSON(data []byte) error {
	type plain TaskConfig
	raw := struct {
		*plain
		Params textValues `json:"params"`
	}{plain: (*plain)(c)}
	*c = TaskConfig{}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	c.Params = raw.Params.strings()
	return nil
}

// UnmarshalJSON takes params of any JSON value, as those of a TaskConfig.
func (p *TaskPlan) UnmarshalJSON(data []byte) error {
	type plain TaskPlan
	raw := struct {
		*plain
		Params textValues `json:"params"`
	}{plain: (*plain)(p)}
	*p = TaskPlan{}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	p.Params = raw.Params.strings()
	return nil
}

// UnmarshalJSON takes version fields of any JSON value, as params are taken.
func (r *ImageResource) UnmarshalJSON(data []byte) error {
	type plain ImageResource
	raw := struct {
		*plain
		Version textValues `json:"version"`
	}{plain: (*plain)(r)}
	*r = ImageResource{}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	r.Version = raw.Version.strings()
	return nil
}

// textValue is a string that JSON may hold as any value: null is empty, numbers
// and booleans are as they are written, lists and maps are their JSON.
type textValue string

func (t *textValue) UnmarshalJSON(data []byte) error {
	switch data[0] {
	case 'n':
		*t = ""
		return nil
	case '"':
		return json.Unmarshal(data, (*string)(t))
	}
	if data[0] != '{' && data[0] != '[' {
		*t = textValue(data)
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return err
	}
	encoded, err := json.Marshal(value)
	*t = textValue(encoded)
	return err
}

// textValues is a map of strings that JSON may hold as any values.
type textValues map[string]textValue

func (t textValues) strings() map[string]string {
	if t == nil {
		return nil
	}
	texts := make(map[string]string, len(t))
	for name, text := range t {
		texts[name] = string(text)
	}
	return texts
}
