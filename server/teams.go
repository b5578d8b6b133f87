package server

import (
	"net/http"
	"slices"

	"midge/api"
)

// listTeams gives the teams that the requester may see.
func (s *Server) listTeams(w http.ResponseWriter, r *http.Request) {
	teams, err := s.database.Teams(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	teams = slices.DeleteFunc(teams, func(team api.Team) bool {
		_, configured := s.teams[team.Name]
		return !configured || requester(r).in(team.Name) == noRole
	})
	for i := range teams {
		teams[i] = s.apiTeam(teams[i])
	}
	answer(w, http.StatusOK, teams)
}

// getTeam gives the team of the path.
func (s *Server) getTeam(w http.ResponseWriter, r *http.Request) {
	team, err := s.database.EnsureTeam(r.Context(), r.PathValue("team"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, s.apiTeam(team))
}
