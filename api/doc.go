// Package api holds what both ends of midge say to each other: builds, plans,
// task configs, events, artifacts, containers, workers, users and hijack frames.
//
// It is pure data and the validation of it. Where a type has a counterpart in
// Concourse's API its JSON is Concourse's, field for field, so that the published
// fly CLI can read it; fields that only midge knows come after those and are
// omitted when empty. The package imports nothing else of this module and does
// no input or output.
package api
