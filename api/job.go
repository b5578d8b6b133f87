package api

// What a job of a Concourse pipeline has for a build that is not of the job itself.

// JobInput is an input of a job at the version that the job's next build would have.
type JobInput struct {
	Name     string            `json:"name"`
	Resource string            `json:"resource"`
	Type     string            `json:"type"`
	Source   map[string]any    `json:"source"`
	Params   map[string]any    `json:"params,omitempty"`
	Version  map[string]string `json:"version"`
	Tags     []string          `json:"tags,omitempty"`
}

// ResourceType is a type of resources that a pipeline brings: an image of another type.
type ResourceType struct {
	Name       string         `json:"name"`
	Type       string         `json:"type"`
	Source     map[string]any `json:"source"`
	Defaults   map[string]any `json:"defaults,omitempty"`
	Privileged bool           `json:"privileged,omitempty"`
	CheckEvery string         `json:"check_every,omitempty"` // a duration or "never"
	Tags       []string       `json:"tags,omitempty"`
	Params     map[string]any `json:"params,omitempty"`
}

// GetPlan fetches a version of a resource. Version or VersionFrom is set.
type GetPlan struct {
	Name        string            `json:"name,omitempty"`
	Type        string            `json:"type"`
	Source      map[string]any    `json:"source"`
	Image       TypeImage         `json:"image"`
	Version     map[string]string `json:"version,omitempty"`
	VersionFrom string            `json:"version_from,omitempty"` // the id of a plan that checks
	Params      map[string]any    `json:"params,omitempty"`
	Tags        []string          `json:"tags,omitempty"`
}

// CheckPlan finds the newest version of a resource.
type CheckPlan struct {
	Name         string         `json:"name"`
	Type         string         `json:"type"`
	Source       map[string]any `json:"source"`
	Image        TypeImage      `json:"image"`
	ResourceType string         `json:"resource_type,omitempty"`
	Interval     string         `json:"interval,omitempty"` // a duration or "never"
	Tags         []string       `json:"tags,omitempty"`
}

// TypeImage says where the image of a resource's type comes from: of a type that a
// pipeline brings, from the plans; of one that the workers have, from BaseType alone.
type TypeImage struct {
	CheckPlan *TypeImagePlan `json:"check_plan,omitempty"`
	GetPlan   *TypeImagePlan `json:"get_plan,omitempty"`
	// BaseType is the type that the workers have at the end of the chain of types.
	BaseType   string `json:"base_type,omitempty"`
	Privileged bool   `json:"privileged,omitempty"`
}

// TypeImagePlan is a step of a TypeImage; one of its fields but ID is set.
type TypeImagePlan struct {
	ID    string     `json:"id"`
	Get   *GetPlan   `json:"get,omitempty"`
	Check *CheckPlan `json:"check,omitempty"`
}

// defaultCheckInterval is how often a Concourse checks a type that does not say.
const defaultCheckInterval = "1m0s"

// NewTypeImage says where the image of a type comes from, for the step of a plan of
// that id, which asks for a worker with these tags. A type that is its own ancestor is
// at the end of the chain.
func NewTypeImage(plan, name string, types []ResourceType, tags []string) TypeImage {
	for i, own := range types {
		if own.Name != name {
			continue
		}
		others := append(append([]ResourceType{}, types[:i]...), types[i+1:]...)
		return own.image(plan, others, tags)
	}
	return TypeImage{BaseType: name}
}

// image is NewTypeImage of a type that a pipeline brings; others are its other types.
func (t ResourceType) image(plan string, others []ResourceType, tags []string) TypeImage {
	if len(t.Tags) > 0 {
		tags = t.Tags
	}
	interval := t.CheckEvery
	if interval == "" {
		interval = defaultCheckInterval
	}
	checkID, getID := plan+"/image-check", plan+"/image-get"
	check := &CheckPlan{
		Name: t.Name, Type: t.Type, Source: t.Source, Tags: tags, Interval: interval, ResourceType: t.Name,
		Image: NewTypeImage(checkID, t.Type, others, tags),
	}
	get := &GetPlan{
		Name: t.Name, Type: t.Type, Source: t.Source, Params: t.Params, Tags: tags, VersionFrom: checkID,
		Image: NewTypeImage(getID, t.Type, others, tags),
	}
	return TypeImage{
		CheckPlan:  &TypeImagePlan{ID: checkID, Check: check},
		GetPlan:    &TypeImagePlan{ID: getID, Get: get},
		BaseType:   get.Image.BaseType,
		Privileged: t.Privileged,
	}
}
