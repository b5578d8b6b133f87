package main

import (
	"log/slog"
	"os"
	gort "runtime"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"midge/client"
	"midge/runtime"
	"midge/runtime/kubernetes"
	"midge/runtime/runc"
	"midge/server"
)

// settings are all that can be set.
type settings struct {
	server          server.Config
	users           []string         // NAME:PASSWORD
	worker          workerSettings   // the only one, or what others have that do not say
	workers         []workerSettings // those of the file
	placement       []string
	shutdownTimeout time.Duration
	logLevel        slog.Level
	logFormat       string
}

// configFlag is the setting that names the file with others.
const configFlag = "config"

// addTo adds a flag for each setting, with its default.
func (s *settings) addTo(flags *pflag.FlagSet) {
	flags.SortFlags = false
	flags.String(configFlag, "", "YAML `file` with settings")
	s.addServer(flags)
	s.addUsers(flags)
	s.addBuilds(flags)
	s.addLimits(flags)
	s.addWorker(flags)
	flags.Var((*levelValue)(&s.logLevel), "log-level", "least important messages to log: debug, info, warn or error")
	flags.Var(newChoice(&s.logFormat, "text", "json"), "log-format", "form of the log on stderr: text or json")
}

func (s *settings) addServer(flags *pflag.FlagSet) {
	flags.StringVar(&s.server.DataDir, "data-dir", defaultDataDir(), "`directory` of all that outlives the server")
	flags.StringVar(&s.server.Listen, "listen", "127.0.0.1:8080", "TCP `address` for those who log in; empty for none")
	flags.StringVar(&s.server.TLSCert, "tls-cert", "", "`file` of the certificate of --listen, in PEM; read again when it changes")
	flags.StringVar(&s.server.TLSKey, "tls-key", "", "`file` of the certificate's key, in PEM")
	flags.StringVar(&s.server.TLSClientCA, "tls-client-ca", "", "`file` of authorities, in PEM, that must have signed the certificates of clients")
	flags.StringVar(&s.server.Socket, "socket", defaultSocket(), "`path` of the unix socket, whose users need not log in; empty for none")
	flags.StringVar(&s.server.SocketGroup, "socket-group", "midge", "`group` that may use the socket, if there is one of that name")
	flags.StringVar(&s.server.ExternalURL, "external-url", "", "`URL` where users find the server (default that of --listen)")
	flags.StringVar(&s.server.ClusterName, "cluster-name", "", "`name` of the server that users are shown")
	flags.StringVar(&s.server.ConcourseVersion, "concourse-version", server.DefaultConcourseVersion, "`version` of Concourse that fly is told, which should be fly's own")
	flags.Var(newDuration(&s.shutdownTimeout, 30*time.Second), "shutdown-timeout", "how long requests that run may take when the server is stopped")
	flags.BoolVar(&s.server.DestroyOnExit, "destroy-on-exit", false, "destroy all containers when the server is stopped")
}

func (s *settings) addUsers(flags *pflag.FlagSet) {
	flags.StringArrayVar(&s.users, "add-local-user", nil, "`NAME:PASSWORD` of a user who may log in; PASSWORD may be a bcrypt hash, which other users of this machine cannot use when they see it; may be repeated")
	flags.StringArrayVar(&s.server.MainOwners, "main-team-local-user", nil, "`name` of a local user who owns the team main, and so administers the server; may be repeated (default all local users)")
	provider := &s.server.OIDC
	flags.StringVar(&provider.Issuer, "oidc-issuer", "", "`URL` of an OpenID Connect provider whose users may log in with a browser; it sends them back to /login/callback of --external-url")
	flags.StringVar(&provider.ClientID, "oidc-client-id", "", "`id` by which the provider knows this server")
	flags.StringVar(&provider.ClientSecret, "oidc-client-secret", "", "`secret` that goes with the id")
	flags.StringVar(&provider.DisplayName, "oidc-display-name", "", "`name` of the provider that users are shown (default the host of the issuer)")
	flags.StringArrayVar(&provider.Scopes, "oidc-scope", nil, "`scope` to ask for besides openid; may be repeated (default profile and email)")
	flags.StringVar(&provider.UserNameKey, "oidc-user-name-key", "preferred_username", "`claim` that names a user")
	flags.StringVar(&provider.GroupsKey, "oidc-groups-key", "groups", "`claim` that lists the groups of a user")
	flags.Var(newDuration(&s.server.AuthDuration, 24*time.Hour), "auth-duration", "how long a login lasts")
}

func (s *settings) addBuilds(flags *pflag.FlagSet) {
	flags.IntVar(&s.server.MaxActiveBuilds, "max-active-builds", max(8, 4*gort.NumCPU()), "`number` of builds that run at once, others waiting; 0 for no bound")
	flags.Var(newDuration(&s.server.StopGrace, 10*time.Second), "grace", "how long an aborted task has between SIGTERM and SIGKILL")
	flags.Var(newDuration(&s.server.CollectGrace, 5*time.Minute), "gc-grace", "how long the container of a finished build is kept")
	flags.Var(newDuration(&s.server.CollectInterval, 30*time.Second), "gc-interval", "how often containers are removed that nobody needs; everything else a twentieth as often")
	flags.IntVar(&s.server.KeepBuilds, "keep-builds", 10_000, "`number` of builds of each team that are kept, with their logs, traces and artifacts; 0 for all")
	flags.Var(newDuration(&s.server.BuildGrace, client.DefaultPatience), "build-grace", "how long a finished build is kept at least, for its client to bring its outputs home")
	flags.Var(newDuration(&s.server.ArtifactTTL, 7*24*time.Hour), "artifact-ttl", "how long an artifact is kept that no running build and no container needs; 0 for ever")
	flags.Var(newDuration(&s.server.HoldFailed, time.Hour), "hold-failed", "how long the container of a task that did not succeed is kept")
	flags.Var(newDuration(&s.server.MaxHold, 7*24*time.Hour), "max-hold", "how long a container is held at most when somebody asks for that")
	flags.IntVar(&s.server.MaxHeld, "max-held", 50, "`number` of containers that a team holds at once, the oldest being let go first; 0 for no bound")
	flags.Var(newDuration(&s.server.SessionTimeout, time.Hour), "session-timeout", "how long a hijack session goes on that nobody is attached to")
	flags.Var(newDuration(&s.server.InterceptIdleTimeout, 0), "intercept-idle-timeout", "how long a hijack session may be idle; 0 for ever")
	flags.Var(newDuration(&s.server.KeepImages, 7*24*time.Hour), "keep-images", "how long an image is kept that no container has")
	flags.Var(newDuration(&s.server.UploadGrace, time.Hour), "upload-grace", "how long an upload may pause before what has arrived is forgotten")
	flags.Var((*memoryValue)(&s.server.MaxArtifactSize), "max-artifact-size", "most that the files of an input or output may have together, as in 2GB: `size`; 0 for no limit")
	s.server.MinFreeSpace = 256 << 20
	flags.Var((*memoryValue)(&s.server.MinFreeSpace), "min-free-space", "least that must be free on the data dir's disk for a build to begin: `size`; 0 for none")
	s.server.StopFreeSpace = 64 << 20
	flags.Var((*memoryValue)(&s.server.StopFreeSpace), "stop-free-space", "least that must be free there for builds to go on, no more than min-free-space: with less, the one that takes the most is stopped: `size`; 0 for none")
	flags.BoolVar(&s.server.AllowPrivileged, "allow-privileged", false, "run tasks as root of this machine that ask to be privileged")
	flags.Uint64Var(&s.server.DefaultLimits.CPUShares, "default-task-cpu-limit", 0, "CPU `shares` of a task that sets none; 1024 is one full weight, 0 no limit")
	flags.Var((*memoryValue)(&s.server.DefaultLimits.Memory), "default-task-memory-limit", "`memory` of a task that sets none, as in 2GB; 0 for no limit")
	flags.Int64Var(&s.server.DefaultLimits.Pids, "default-task-pids-limit", 0, "most `processes` and threads of a task; 0 for no limit")
	flags.Uint64Var(&s.server.DefaultLimits.OpenFiles, "default-task-open-files-limit", 0, "most `files` that a process of a task has open, no more than this server may; 0 for that")
	flags.Var((*memoryValue)(&s.server.DefaultLimits.Disk), "default-task-disk-limit", "`size` of what the container of a task that sets none takes on the disk, as in 20GB; 0 for no limit")
	flags.Uint64Var(&s.server.MaxLimits.CPUShares, "max-task-cpu-limit", 0, "most CPU `shares` that a task may set; 0 for no limit")
	flags.Var((*memoryValue)(&s.server.MaxLimits.Memory), "max-task-memory-limit", "most `memory` that a task may set; 0 for no limit")
	flags.Var((*memoryValue)(&s.server.MaxLimits.Disk), "max-task-disk-limit", "most disk space, a `size`, that a task may set; 0 for no limit")
}

func (s *settings) addLimits(flags *pflag.FlagSet) {
	for _, of := range []struct {
		name   string
		limits *server.Limits
	}{{"user", &s.server.UserLimits}, {"team", &s.server.TeamLimits}} {
		flags.IntVar(&of.limits.Requests, "max-"+of.name+"-requests", 0, "`number` of requests that a "+of.name+" may send a second; 0 for no bound")
		flags.IntVar(&of.limits.Builds, "max-"+of.name+"-builds", 0, "`number` of builds of a "+of.name+" that may be unfinished; 0 for no bound")
		flags.Var((*memoryValue)(&of.limits.Upload), "max-"+of.name+"-upload", "most that a "+of.name+" may upload in an hour: `size`; 0 for no limit")
	}
}

func (s *settings) addWorker(flags *pflag.FlagSet) {
	host, err := os.Hostname()
	if err != nil {
		host = "midge"
	}
	s.worker = workerSettings{platform: "linux", runtime: runtimeRunc, runc: runc.Options{HostImage: true, Toolbox: runc.FindToolbox()}}
	flags.StringVar(&s.worker.name, "worker-name", host, "`name` of the worker")
	flags.StringArrayVar(&s.worker.tags, "tag", nil, "`tag` of the worker, which then runs only tasks that ask for it; may be repeated")
	flags.IntVar(&s.worker.maxActiveTasks, "max-active-tasks", 0, "`number` of tasks that a worker runs at once, others waiting; 0 for no bound")
	flags.StringArrayVar(&s.placement, "container-placement-strategy", nil, "how a worker is chosen of those that fit: "+strategyNames(runtime.Strategies, ", ")+"; may be repeated, the first going before (default "+strategyNames(runtime.DefaultStrategies, ", then ")+")")
	flags.Var(newChoice(&s.worker.runtime, runtimeRunc, runtimeKubernetes), "runtime", "what runs containers: runc, on this machine, or kubernetes, as pods of a cluster")
	addRunc(flags, &s.worker.runc)
	s.worker.addNetwork(flags)
	s.worker.kubernetes.StartTimeout, s.worker.kubernetes.Deadline = kubernetes.DefaultStartTimeout, kubernetes.DefaultDeadline
	s.worker.kubernetes.Cache = kubernetes.CacheNone
	addKubernetes(flags, &s.worker.kubernetes)
}

func strategyNames(strategies []runtime.Strategy, separator string) string {
	var names []string
	for _, strategy := range strategies {
		names = append(names, string(strategy))
	}
	return strings.Join(names, separator)
}
