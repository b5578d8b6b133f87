package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// ParseTaskConfig reads a task file, with the variables in it replaced by their
// values. File is the name that errors give.
//
// What is wrong with the file is a *ConfigError that has all of it: what is not
// YAML, unknown and mistyped fields, undefined variables, and what Validate finds. With
// it comes the config as far as it could be read, for those who need no more.
func ParseTaskConfig(file string, data []byte, variables Variables) (TaskConfig, error) {
	return parseTaskConfig(file, data, variables, TaskConfig.check)
}

// ParseTaskConfigForImage is ParseTaskConfig for a task whose image is given elsewhere,
// and has a command of its own.
func ParseTaskConfigForImage(file string, data []byte, variables Variables) (TaskConfig, error) {
	return parseTaskConfig(file, data, variables, TaskConfig.checkForImage)
}

func parseTaskConfig(file string, data []byte, variables Variables, check func(TaskConfig, report)) (TaskConfig, error) {
	problems := &problems{file: file}
	root := parseYAML(problems, data)
	if root == nil {
		return TaskConfig{}, problems.err()
	}
	root = interpolate(root, variables, problems)
	decoder := newTaskDecoder(problems)
	config := decoder.taskConfig(root)
	check(config, decoder.report)
	return config, problems.err()
}

// Interpolate gives the config with the variables in it replaced by their values.
// Those that have none, and values that do not fit where they stand, are in a *ConfigError.
func (c TaskConfig) Interpolate(variables Variables) (TaskConfig, error) {
	document, err := c.document()
	if err != nil {
		return TaskConfig{}, fmt.Errorf("interpolate a task config: %w", err)
	}
	problems := &problems{}
	root := interpolate(document, variables, problems)
	config := newTaskDecoder(problems).taskConfig(root)
	if err := problems.err(); err != nil {
		return TaskConfig{}, err
	}
	return config, nil
}

// document gives the config as the document it could be read from.
func (c TaskConfig) document() (*node, error) {
	encoded, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	return newNode(position{}, value), nil
}

// taskDecoder makes a TaskConfig of a document, and remembers where each field
// stood for what is found later.
type taskDecoder struct {
	problems  *problems
	positions map[string]position
	// broken has the fields that a problem was reported of already.
	broken map[string]bool
}

func newTaskDecoder(problems *problems) *taskDecoder {
	return &taskDecoder{problems: problems, positions: map[string]position{}, broken: map[string]bool{}}
}

// report adds a problem of a field at its place, or that of what it is in.
func (d *taskDecoder) report(name, format string, args ...any) {
	for at := name; ; at = parent(at) {
		if d.broken[at] {
			return
		}
		if at == "" {
			break
		}
	}
	for at := name; ; at = parent(at) {
		if position, ok := d.positions[at]; ok || at == "" {
			d.problems.add(position, name, format, args...)
			return
		}
	}
}

// parent cuts the last part off a field's path.
func parent(name string) string {
	return name[:max(0, strings.LastIndexAny(name, ".["))]
}

func (d *taskDecoder) mistyped(n *node, name, want string) {
	d.broken[name] = true
	if n.kind != undefinedNode {
		d.problems.add(n.at, name, "%s must be %s, and is %s", cmp.Or(name, "a task file"), want, n.describe())
	}
}

// known is a field that a map may have, and how it is read.
type known struct {
	name string
	read func(n *node, name string)
}

// mapping reads the fields of a map. Empty is as good as absent.
func (d *taskDecoder) mapping(n *node, name string, fields []known) {
	d.positions[name] = n.at
	if n.kind == scalarNode && n.value == nil {
		return
	}
	if n.kind != mappingNode {
		d.mistyped(n, name, "a map")
		return
	}
	for _, f := range n.fields {
		i := slices.IndexFunc(fields, func(k known) bool { return k.name == f.name })
		if i < 0 {
			d.unknown(f, name, fields)
			continue
		}
		path := strings.TrimPrefix(name+"."+f.name, ".")
		d.positions[path] = f.value.at
		fields[i].read(f.value, path)
	}
}

func (d *taskDecoder) unknown(f field, in string, fields []known) {
	names := make([]string, len(fields))
	for i, k := range fields {
		names[i] = k.name
	}
	where := ""
	if in != "" {
		where = " in " + in
	}
	advice := "the fields here are " + strings.Join(names, ", ")
	if like := Nearest(f.name, names); like != "" {
		advice = fmt.Sprintf("did you mean %q?", like)
	}
	d.problems.add(f.at, strings.TrimPrefix(in+"."+f.name, "."), "unknown field %q%s: %s", f.name, where, advice)
}

// notTasks are fields of what people take for a task file, and what has them.
var notTasks = map[string]string{
	"jobs":      "this is a pipeline, and not a task: give a file that has the platform and run of one",
	"resources": "this is a pipeline, and not a task: give a file that has the platform and run of one",
	"plan":      "this is a job of a pipeline, and not a task: give a file that has the platform and run of one",
	"task":      "this is a step of a pipeline, and not a task: give its file, or one with what is below its config",
}

// isNoTask reports that the document is something else that people have.
func (d *taskDecoder) isNoTask(root *node) bool {
	for _, f := range root.fields {
		if what := notTasks[f.name]; what != "" {
			d.problems.add(f.at, f.name, "%s", what)
			d.broken[""] = true
			return true
		}
	}
	return false
}

func (d *taskDecoder) taskConfig(root *node) TaskConfig {
	var c TaskConfig
	if d.isNoTask(root) {
		return c
	}
	d.mapping(root, "", []known{
		{"platform", d.text(&c.Platform)},
		{"image_resource", func(n *node, name string) { c.ImageResource = d.imageResource(n, name) }},
		{"rootfs_uri", d.text(&c.RootfsURI)},
		{"container_limits", func(n *node, name string) { c.Limits = d.limits(n, name) }},
		{"params", d.texts(&c.Params)},
		{"run", func(n *node, name string) { c.Run = d.run(n, name) }},
		{"inputs", func(n *node, name string) { c.Inputs = list(d, n, name, d.input) }},
		{"outputs", func(n *node, name string) { c.Outputs = list(d, n, name, d.output) }},
		{"caches", func(n *node, name string) { c.Caches = list(d, n, name, d.cache) }},
	})
	return c
}

func (d *taskDecoder) imageResource(n *node, name string) *ImageResource {
	if n.kind == scalarNode && n.value == nil {
		return nil
	}
	var r ImageResource
	d.mapping(n, name, []known{
		{"name", d.text(&r.Name)},
		{"type", d.text(&r.Type)},
		{"source", d.values(&r.Source)},
		{"params", d.values(&r.Params)},
		{"version", d.texts(&r.Version)},
		{"tags", func(n *node, name string) { r.Tags = list(d, n, name, d.item) }},
	})
	return &r
}

func (d *taskDecoder) limits(n *node, name string) *ContainerLimits {
	if n.kind == scalarNode && n.value == nil {
		return nil
	}
	var l ContainerLimits
	d.mapping(n, name, []known{
		{"cpu", d.amount(&l.CPU, parseShares)},
		{"memory", d.amount(&l.Memory, ParseMemory)},
		{"disk", d.amount(&l.Disk, parseDisk)},
	})
	return &l
}

func (d *taskDecoder) run(n *node, name string) TaskRun {
	var r TaskRun
	d.mapping(n, name, []known{
		{"path", d.text(&r.Path)},
		{"args", func(n *node, name string) { r.Args = list(d, n, name, d.item) }},
		{"dir", d.text(&r.Dir)},
		{"user", d.text(&r.User)},
	})
	return r
}

func (d *taskDecoder) input(n *node, name string) TaskInput {
	var i TaskInput
	d.mapping(n, name, []known{
		{"name", d.text(&i.Name)},
		{"path", d.text(&i.Path)},
		{"optional", d.boolean(&i.Optional)},
	})
	return i
}

func (d *taskDecoder) output(n *node, name string) TaskOutput {
	var o TaskOutput
	d.mapping(n, name, []known{
		{"name", d.text(&o.Name)},
		{"path", d.text(&o.Path)},
	})
	return o
}

func (d *taskDecoder) cache(n *node, name string) TaskCache {
	var c TaskCache
	d.mapping(n, name, []known{{"path", d.text(&c.Path)}})
	return c
}

func (d *taskDecoder) item(n *node, name string) string {
	var item string
	d.text(&item)(n, name)
	return item
}

// list reads the items of a list. Empty is as good as absent.
func list[T any](d *taskDecoder, n *node, name string, read func(n *node, name string) T) []T {
	if n.kind == scalarNode && n.value == nil {
		return nil
	}
	if n.kind != sequenceNode {
		d.mistyped(n, name, "a list")
		return nil
	}
	items := make([]T, len(n.items))
	for i, item := range n.items {
		path := fmt.Sprintf("%s[%d]", name, i)
		d.positions[path] = item.at
		items[i] = read(item, path)
	}
	return items
}

// text reads any scalar as a string.
func (d *taskDecoder) text(into *string) func(*node, string) {
	return func(n *node, name string) {
		if n.kind != scalarNode {
			d.mistyped(n, name, "a string")
			return
		}
		*into = n.text()
	}
}

// texts reads a map of strings, made of whatever the values are.
func (d *taskDecoder) texts(into *map[string]string) func(*node, string) {
	return func(n *node, name string) {
		if n.kind == scalarNode && n.value == nil {
			return
		}
		if n.kind != mappingNode {
			d.mistyped(n, name, "a map")
			return
		}
		*into = make(map[string]string, len(n.fields))
		for _, f := range n.fields {
			d.positions[name+"."+f.name] = f.at
			(*into)[f.name] = f.value.text()
		}
	}
}

// values reads a map of anything.
func (d *taskDecoder) values(into *map[string]any) func(*node, string) {
	return func(n *node, name string) {
		if n.kind == scalarNode && n.value == nil {
			return
		}
		decoded, ok := n.decoded().(map[string]any)
		if !ok {
			d.mistyped(n, name, "a map")
			return
		}
		*into = decoded
	}
}

// amount reads a number, or a string that parse understands.
func (d *taskDecoder) amount(into **uint64, parse func(string) (uint64, error)) func(*node, string) {
	return func(n *node, name string) {
		if n.kind == scalarNode && n.value == nil {
			return
		}
		if _, isBool := n.value.(bool); isBool || n.kind != scalarNode {
			d.mistyped(n, name, "a number")
			return
		}
		amount, err := parse(n.text())
		if err != nil {
			d.broken[name] = true
			d.problems.add(n.at, name, "%s: %v", name, err)
			return
		}
		*into = &amount
	}
}

// boolean reads true or false. YAML 1.1's other words for them are taken too:
// Concourse takes them.
func (d *taskDecoder) boolean(into *bool) func(*node, string) {
	return func(n *node, name string) {
		switch value := n.value.(type) {
		case bool:
			*into = value
			return
		case string:
			switch strings.ToLower(value) {
			case "true", "yes", "on":
				*into = true
				return
			case "false", "no", "off":
				*into = false
				return
			}
		}
		d.mistyped(n, name, "true or false")
	}
}
