package api

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Validate checks a config that came over the wire by the rules of task files.
// What is wrong is a *ConfigError that has all of it, without places.
func (c TaskConfig) Validate() error {
	problems := &problems{}
	c.check(func(field, format string, args ...any) {
		problems.add(position{}, field, format, args...)
	})
	return problems.err()
}

// report takes a problem of a field; format and args make the sentence.
type report func(field, format string, args ...any)

// check finds what is wrong with a config whose fields have the right types.
func (c TaskConfig) check(report report) {
	if c.Platform == "" {
		report("platform", "platform is missing: say what the task runs on, most often \"platform: linux\"")
	}
	if c.Run.Path == "" && c.ImageResource == nil {
		report("run.path", "run.path is missing: say which executable to run (only an image_resource has one of its own)")
	}
	c.checkText(report)
	c.checkImage(report)
	c.Limits.check(report, "container_limits")
	checkParams(report, "params", c.Params)
	c.checkPaths(report)
}

// checkForImage is check for a config whose image is given elsewhere, and brings its
// command as an image_resource would.
func (c TaskConfig) checkForImage(report report) {
	if c.ImageResource == nil {
		c.ImageResource = &ImageResource{Type: "artifact", Source: map[string]any{"name": "image"}}
	}
	c.check(report)
}

// checkText refuses what no process can be given.
func (c TaskConfig) checkText(report report) {
	texts := map[string]string{
		"platform": c.Platform, "rootfs_uri": c.RootfsURI,
		"run.path": c.Run.Path, "run.dir": c.Run.Dir, "run.user": c.Run.User,
	}
	for i, arg := range c.Run.Args {
		texts[fmt.Sprintf("run.args[%d]", i)] = arg
	}
	for _, field := range slices.Sorted(maps.Keys(texts)) {
		if strings.ContainsRune(texts[field], 0) {
			report(field, "%s has a NUL character in it, which no process can be given", field)
		}
	}
	if hasDotDot(c.Run.Dir) {
		report("run.dir", "run.dir is %q: a path may not have .. in it", c.Run.Dir)
	}
}

func (c TaskConfig) checkImage(report report) {
	if c.ImageResource == nil {
		return
	}
	if c.ImageResource.Type == "" {
		report("image_resource.type", "image_resource.type is missing: it is most often registry-image")
	}
	if len(c.ImageResource.Source) == 0 {
		report("image_resource.source", "image_resource.source is missing: it says which image, as in \"source: {repository: busybox}\"")
	}
}

func (l *ContainerLimits) check(report report, field string) {
	if l == nil {
		return
	}
	checkBytes(report, field+".memory", l.Memory, "any process")
	checkBytes(report, field+".disk", l.Disk, "the files of a task")
}

// checkBytes reports a limit that is too little for what it is to hold, or too much.
func checkBytes(report report, field string, limit *uint64, holds string) {
	switch {
	case limit == nil:
	case *limit > 0 && *limit < minLimit:
		report(field, "%s is %d bytes, too little for %s: did you mean %dMB?", field, *limit, holds, *limit)
	case *limit > 1<<62:
		report(field, "%s is %d bytes, more than any machine has", field, *limit)
	}
}

func checkParams(report report, field string, params map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(params)) {
		at := field + "." + name
		if name == "" || strings.ContainsAny(name, "=\x00") {
			report(at, "%q cannot be the name of a param: it becomes an environment variable", name)
		}
		if strings.ContainsRune(params[name], 0) {
			report(at, "the param %s has a NUL character in it, which no environment variable can have", name)
		}
	}
}

// mount is a directory that a task has from or for others.
type mount struct {
	field string // inputs[0]
	kind  string // input
	name  string
	path  string // as the config has it
}

// at says which of its mount's fields the path is from.
func (m mount) at() string {
	if m.path == "" && m.kind != "cache" {
		return m.field + ".name"
	}
	return m.field + ".path"
}

// target is where the directory is mounted.
func (m mount) target() string {
	if m.path == "" {
		return m.name
	}
	return m.path
}

func (c TaskConfig) checkPaths(report report) {
	var inputs, outputs, caches []mount
	for i, input := range c.Inputs {
		inputs = append(inputs, mount{fmt.Sprintf("inputs[%d]", i), "input", input.Name, input.Path})
	}
	for i, output := range c.Outputs {
		outputs = append(outputs, mount{fmt.Sprintf("outputs[%d]", i), "output", output.Name, output.Path})
	}
	for i, cache := range c.Caches {
		caches = append(caches, mount{fmt.Sprintf("caches[%d]", i), "cache", "", cache.Path})
	}
	checkNames(report, inputs)
	checkNames(report, outputs)

	// An output may lie where an input does: then it begins with what is in the input.
	inputsAt, outputsAt := map[string]mount{}, map[string]mount{}
	for _, m := range inputs {
		checkMount(report, m, inputsAt)
	}
	for _, m := range outputs {
		checkMount(report, m, outputsAt)
	}
	taken := maps.Clone(inputsAt)
	maps.Copy(taken, outputsAt)
	for _, m := range caches {
		checkMount(report, m, taken)
	}
}

func checkNames(report report, mounts []mount) {
	seen := map[string]bool{}
	for i, m := range mounts {
		switch {
		case m.name == "":
			report(m.field+".name", "%s %d has no name", m.kind, i+1)
		case seen[m.name]:
			report(m.field+".name", "%q is the name of two %ss", m.name, m.kind)
		case strings.ContainsFunc(m.name, isControl):
			report(m.field+".name", "the name of the %s %q has control characters in it", m.kind, m.name)
		}
		seen[m.name] = true
	}
}

// checkMount checks where a directory is mounted, and adds it to those there are.
func checkMount(report report, m mount, taken map[string]mount) {
	target := m.target()
	switch {
	case target == "":
		// An input or output without a path lacks its name too, which was said.
		if m.kind == "cache" {
			report(m.at(), "%s is missing", m.at())
		}
		return
	case hasDotDot(target):
		report(m.at(), "the path of the %s is %q: a path may not have .. in it", m.kind, target)
		return
	case strings.ContainsFunc(m.path, isControl):
		report(m.at(), "the path of the %s is %q: it has control characters in it", m.kind, target)
		return
	case path.Clean(target) == "/":
		report(m.at(), "the path of the %s is %q, all of the container: name a directory in it", m.kind, target)
		return
	}
	clean := path.Clean(target)
	if other, ok := taken[clean]; ok {
		report(m.at(), "the path %q of this %s is that of the %s at %s too", target, m.kind, other.kind, other.field)
		return
	}
	taken[clean] = m
}

func hasDotDot(name string) bool {
	return slices.Contains(strings.Split(name, "/"), "..")
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
