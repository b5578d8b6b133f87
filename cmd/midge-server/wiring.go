package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"

	"midge/runtime"
	"midge/runtime/kubernetes"
	"midge/runtime/runc"
	"midge/runtime/runc/rootless"
	"midge/server"
	"midge/trace/otlp"
)

// config is the server's configuration.
func (s *settings) config() (server.Config, error) {
	config := s.server
	if rootless.Ordinary() && s.hasContainersHere() {
		if err := runc.CheckOrdinaryLimits(config.DefaultLimits); err != nil {
			return config, err
		}
	}
	for _, text := range s.users {
		user, err := server.ParseLocalUser(text)
		if err != nil {
			return config, err
		}
		config.Users = append(config.Users, user)
	}
	options := &slog.HandlerOptions{Level: s.logLevel}
	if s.logFormat == "json" {
		config.Log = slog.New(slog.NewJSONHandler(os.Stderr, options))
	} else {
		config.Log = slog.New(slog.NewTextHandler(os.Stderr, options))
	}
	gate := kubernetes.NewGate()
	config.PodArtifacts = gate
	config.OpenWorkers = func(ctx context.Context, dir string) ([]runtime.Worker, func(), error) {
		return s.openWorkers(ctx, dir, gate, config.Log)
	}
	var err error
	if config.Placement, err = runtime.ParseStrategies(s.placement); err != nil {
		return config, err
	}
	config.Record = func(begin, keep func(otlp.Span)) (func(context.Context) error, error) {
		return recordSpans(begin, keep, config.Log)
	}
	return config, nil
}

// agentPath is midge-agent beside this program, or else on PATH.
func agentPath() string {
	const name = "midge-agent"
	if self, err := os.Executable(); err == nil {
		if path := filepath.Join(filepath.Dir(self), name); isFile(path) {
			return path
		}
	}
	return name
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
