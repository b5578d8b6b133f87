package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"midge/runtime"
	"midge/runtime/kubernetes"
	"midge/runtime/runc/rootless"
	"midge/server"
	"midge/trace/otlp"
)

// config is the server's configuration.
func (s *settings) config() (server.Config, error) {
	config := s.server
	if limits := config.DefaultLimits; rootless.Ordinary() && (limits.Memory > 0 || limits.CPUShares > 0 || limits.Pids > 0) {
		return config, errors.New("limits of memory, processors and processes need root: leave out default-task-memory-limit, default-task-cpu-limit and default-task-pids-limit, or start the server with sudo")
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
