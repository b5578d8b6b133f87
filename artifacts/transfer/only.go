package transfer

import (
	"context"

	"midge/artifacts/ignore"
)

// only is the scope of a directory of which one entry is sent, by its name.
type only string

// Ignored implements ignore.Scope.
func (o only) Ignored(name string, _ bool) (*ignore.Rule, error) {
	if name == string(o) {
		return nil, nil
	}
	return &ignore.Rule{}, nil
}

// Enter implements ignore.Scope: of what is sent nothing is left out.
func (only) Enter(context.Context, string, ignore.ReadFile) (ignore.Scope, error) { return nil, nil }
