package server

import (
	"context"
	"errors"
	"fmt"
	"os"

	"midge/artifacts/store"
	"midge/server/state"
)

// Verify reads all artifacts in a data dir that no server uses meanwhile, and says
// what is wrong with them. An error tells that it could not be finished.
func Verify(ctx context.Context, dataDir string) (_ store.Verified, err error) {
	if _, err := os.Stat(dataDir); err != nil {
		return store.Verified{}, fmt.Errorf("find the data dir: %w", err)
	}
	dir, err := lockDataDir(dataDir)
	if err != nil {
		return store.Verified{}, err
	}
	defer func() { err = errors.Join(err, dir.release()) }()
	database, err := state.Open(ctx, dir.databasePath())
	if err != nil {
		return store.Verified{}, err
	}
	defer func() { err = errors.Join(err, database.Close()) }()
	trees, err := dir.subdirectory(treesDir)
	if err != nil {
		return store.Verified{}, err
	}
	artifacts, err := store.Open(trees, store.Options{})
	if err != nil {
		return store.Verified{}, err
	}
	defer func() { err = errors.Join(err, artifacts.Close()) }()
	return artifacts.Verify(ctx, database.ArtifactDigests)
}
