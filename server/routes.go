package server

import (
	"net/http"
	"time"

	"midge/runtime"
)

// PodArtifactsPath is where Config.PodArtifacts is served.
const PodArtifactsPath = "/api/v1/pod-artifacts"

// routes is the handler of all that the server answers.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/info", s.info)
	mux.HandleFunc("POST /sky/issuer/token", s.login)
	mux.HandleFunc("GET /sky/logout", s.loggedIn(s.logout))
	mux.HandleFunc("GET /api/v1/user", s.loggedIn(s.user))
	mux.HandleFunc("GET /api/v1/tokens", s.loggedIn(s.listTokens))
	mux.HandleFunc("POST /api/v1/tokens", s.loggedIn(s.createToken))
	mux.HandleFunc("DELETE /api/v1/tokens/{token}", s.loggedIn(s.deleteToken))
	mux.HandleFunc("GET /api/v1/traces/{id}", s.loggedIn(s.getTrace))
	mux.HandleFunc("GET /api/v1/wall", s.loggedIn(s.getWall))
	mux.HandleFunc("PUT /api/v1/wall", s.asAdmin(s.setWall))
	mux.HandleFunc("DELETE /api/v1/wall", s.asAdmin(s.clearWall))

	s.teamRoutes(mux)
	s.buildRoutes(mux)
	s.workerRoutes(mux)
	s.pipelineRoutes(mux)
	s.browserRoutes(mux)
	s.buildPageRoutes(mux)
	s.statusRoutes(mux)
	if s.config.PodArtifacts != nil {
		mux.HandleFunc(PodArtifactsPath+"/", patient(http.StripPrefix(PodArtifactsPath, s.config.PodArtifacts).ServeHTTP))
	}

	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { notFound(w, "%s", r.URL.Path) })
	return s.everyAnswer(mux)
}

func (s *Server) teamRoutes(mux *http.ServeMux) {
	const team = "/api/v1/teams/{team}"
	mux.HandleFunc("GET /api/v1/teams", s.loggedIn(s.listTeams))
	mux.HandleFunc("GET "+team, s.inTeam(viewer, s.getTeam))

	mux.HandleFunc("POST "+team+"/artifacts", s.inTeam(member, s.uploading(s.metrics.counting(patient(s.createArtifact)))))
	mux.HandleFunc("GET "+team+"/artifacts", s.inTeam(viewer, s.listArtifacts))
	mux.HandleFunc("GET "+team+"/artifacts/{artifact}", s.inTeam(member, patient(s.getArtifact)))
	trees := s.treeHandler(team + "/artifacts")
	mux.HandleFunc("POST "+team+"/artifacts/{rest...}", s.inTeam(member, s.uploading(s.metrics.counting(patient(trees.ServeHTTP)))))

	mux.HandleFunc("GET "+team+"/containers", s.inTeam(viewer, s.listContainers))
	mux.HandleFunc("GET "+team+"/containers/{container}", s.inTeam(viewer, s.getContainer))
	mux.HandleFunc("GET "+team+"/containers/{container}/hijack", s.inTeam(member, s.whileTokenLasts(s.hijackContainer)))
	files := team + "/containers/{container}/files"
	mux.HandleFunc("GET "+files, s.inTeam(member, answerFiles(s, runtime.Files.List)))
	mux.HandleFunc("GET "+files+"/stat", s.inTeam(member, answerFiles(s, runtime.Files.Stat)))
	mux.HandleFunc("GET "+files+"/content", s.inTeam(member, patient(s.getFile)))
	mux.HandleFunc("GET "+files+"/changes", s.inTeam(member, answerFiles(s, changesOf)))
	mux.HandleFunc("POST "+files, s.inTeam(member, patient(s.takeFiles)))
	mux.HandleFunc("POST "+files+"/{rest...}", s.inTeam(member, s.metrics.counting(patient(s.containerTrees(files).ServeHTTP))))
	mux.HandleFunc("GET "+team+"/sessions", s.inTeam(member, s.listSessions))
	mux.HandleFunc("GET "+team+"/volumes", s.inTeam(viewer, s.listVolumes))

	mux.HandleFunc("DELETE "+team+"/tasks/{step}/cache", s.inTeam(pipelineOperator, s.clearTaskCache))
	mux.HandleFunc("DELETE "+team+"/pipelines/{pipeline}/jobs/{job}/tasks/{step}/cache", s.inTeam(pipelineOperator, s.clearTaskCache))
}

func (s *Server) buildRoutes(mux *http.ServeMux) {
	const build = "/api/v1/builds/{build}"
	mux.HandleFunc("GET /api/v1/builds", s.loggedIn(s.listBuilds))
	mux.HandleFunc("GET /api/v1/teams/{team}/builds", s.inTeam(viewer, s.listTeamBuilds))
	mux.HandleFunc("POST /api/v1/teams/{team}/builds", s.inTeam(member, s.createBuild))

	mux.HandleFunc("GET "+build, s.loggedIn(s.getBuild))
	mux.HandleFunc("GET "+build+"/plan", s.loggedIn(s.buildPlan))
	mux.HandleFunc("GET "+build+"/resources", s.loggedIn(s.buildResources))
	mux.HandleFunc("GET "+build+"/artifacts", s.loggedIn(s.buildArtifacts))
	mux.HandleFunc("GET "+build+"/events", s.loggedIn(s.whileTokenLasts(s.buildEvents)))
	mux.HandleFunc("GET "+build+"/usage", s.loggedIn(s.buildUsage))
	mux.HandleFunc("PUT "+build+"/abort", s.loggedIn(s.abortBuild))
	mux.HandleFunc("PUT "+build+"/hold", s.loggedIn(s.holdBuild))
	mux.HandleFunc("DELETE "+build+"/hold", s.loggedIn(s.releaseBuild))
}

func (s *Server) workerRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/workers", s.loggedIn(s.listWorkers))
	mux.HandleFunc("PUT /api/v1/workers/{worker}/land", s.loggedIn(s.landWorker))
	mux.HandleFunc("PUT /api/v1/workers/{worker}/prune", s.loggedIn(s.pruneWorker))
}

// pipelineRoutes answer what fly asks about pipelines: lists are empty, and nothing
// else is there.
func (s *Server) pipelineRoutes(mux *http.ServeMux) {
	none := func(w http.ResponseWriter, r *http.Request) { answer(w, http.StatusOK, []struct{}{}) }
	for _, list := range []string{"pipelines", "jobs", "resources"} {
		mux.HandleFunc("GET /api/v1/"+list, s.loggedIn(none))
	}
	mux.HandleFunc("GET /api/v1/teams/{team}/pipelines", s.inTeam(viewer, none))
	missing := s.inTeam(viewer, func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusNotFound, map[string][]string{"errors": {"this server runs one-off builds and has no pipelines"}})
	})
	for _, method := range []string{"GET", "PUT", "POST", "DELETE"} {
		mux.HandleFunc(method+" /api/v1/teams/{team}/pipelines/{rest...}", missing)
	}
}

// everyAnswer gives the headers that every answer has, unless a handler changes them.
func (s *Server) everyAnswer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Each handler has a deadline of its own; that of an earlier one on the same
		// connection may be over.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
		header := w.Header()
		header.Set("Cache-Control", "no-store, private")
		header.Set("X-Concourse-Version", s.config.ConcourseVersion)
		header.Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}
