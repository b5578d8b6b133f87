package api

// TaskConfig is a task file: what to run, in which image, with which inputs and outputs.
type TaskConfig struct {
	Platform      string            `json:"platform" yaml:"platform"`
	RootfsURI     string            `json:"rootfs_uri,omitempty" yaml:"rootfs_uri,omitempty"`
	ImageResource *ImageResource    `json:"image_resource,omitempty" yaml:"image_resource,omitempty"`
	Limits        *ContainerLimits  `json:"container_limits,omitempty" yaml:"container_limits,omitempty"`
	Params        map[string]string `json:"params,omitempty" yaml:"params,omitempty"`
	Run           TaskRun           `json:"run" yaml:"run"`
	Inputs        []TaskInput       `json:"inputs,omitempty" yaml:"inputs,omitempty"`
	Outputs       []TaskOutput      `json:"outputs,omitempty" yaml:"outputs,omitempty"`
	Caches        []TaskCache       `json:"caches,omitempty" yaml:"caches,omitempty"`
}

// ImageResource names an image of a registry.
type ImageResource struct {
	Name    string            `json:"name,omitempty" yaml:"name,omitempty"`
	Type    string            `json:"type" yaml:"type"`
	Source  map[string]any    `json:"source" yaml:"source"`
	Params  map[string]any    `json:"params,omitempty" yaml:"params,omitempty"`
	Version map[string]string `json:"version,omitempty" yaml:"version,omitempty"`
	Tags    []string          `json:"tags,omitempty" yaml:"tags,omitempty"`
}

// ContainerLimits bounds a container. CPU is in shares (1024 is one full weight),
// Memory and Disk in bytes; nil means no limit of its own. Disk is midge's own: a
// Concourse passes over it.
type ContainerLimits struct {
	CPU    *uint64 `json:"cpu,omitempty" yaml:"cpu,omitempty"`
	Memory *uint64 `json:"memory,omitempty" yaml:"memory,omitempty"`
	Disk   *uint64 `json:"disk,omitempty" yaml:"disk,omitempty"`
}

// TaskRun is the command of a task. Dir is relative to the working directory.
type TaskRun struct {
	Path string   `json:"path" yaml:"path"`
	Args []string `json:"args,omitempty" yaml:"args,omitempty"`
	Dir  string   `json:"dir,omitempty" yaml:"dir,omitempty"`
	User string   `json:"user,omitempty" yaml:"user,omitempty"`
}

// TaskInput is a tree the task reads. Path defaults to Name.
type TaskInput struct {
	Name     string `json:"name" yaml:"name"`
	Path     string `json:"path,omitempty" yaml:"path,omitempty"`
	Optional bool   `json:"optional,omitempty" yaml:"optional,omitempty"`
}

// TaskOutput is a directory the task writes. Path defaults to Name.
type TaskOutput struct {
	Name string `json:"name" yaml:"name"`
	Path string `json:"path,omitempty" yaml:"path,omitempty"`
}

// TaskCache is a directory that is kept between runs of the same task.
type TaskCache struct {
	Path string `json:"path" yaml:"path"`
}
