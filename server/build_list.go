package server

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"midge/api"
	"midge/server/state"
)

const (
	defaultPage = 100
	// maxPage bounds how many builds are given at once.
	maxPage = 10_000
)

// listBuilds gives builds of all teams that the requester is in.
func (s *Server) listBuilds(w http.ResponseWriter, r *http.Request) {
	s.answerBuilds(w, r, requester(r).teams())
}

// listTeamBuilds gives builds of the team of the path.
func (s *Server) listTeamBuilds(w http.ResponseWriter, r *http.Request) {
	s.answerBuilds(w, r, []string{r.PathValue("team")})
}

func (s *Server) answerBuilds(w http.ResponseWriter, r *http.Request, teams []string) {
	filter, err := buildFilter(r.URL.Query())
	if err != nil {
		fail(w, http.StatusBadRequest, "%v", err)
		return
	}
	filter.Teams = teams
	builds, err := s.database.Builds(r.Context(), filter)
	if err == nil && filter.Since == 0 && filter.Until == 0 {
		err = s.addLinks(w, r, filter, builds)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, builds)
}

// buildFilter reads the query of a list of builds. Concourse's from and to bound ids
// or, with timestamps, start times; since and until were their names before its 6.0.
func buildFilter(query url.Values) (state.BuildFilter, error) {
	filter := state.BuildFilter{Limit: defaultPage}
	var from, to, since, until int
	for _, field := range []struct {
		name  string
		value *int
	}{{"limit", &filter.Limit}, {"from", &from}, {"to", &to}, {"since", &since}, {"until", &until}} {
		text := query.Get(field.name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return filter, fmt.Errorf("the parameter %s is %q and should be a number", field.name, text)
		}
		*field.value = n
	}
	for _, status := range query["status"] {
		filter.Status = append(filter.Status, api.BuildStatus(status))
	}
	if filter.Limit == 0 {
		filter.Limit = defaultPage
	}
	filter.Limit = min(filter.Limit, maxPage)
	if query.Get("timestamps") != "" {
		filter.Since, filter.Until = int64(max(from, since)), int64(max(to, until))
		return filter, nil
	}
	filter.From, filter.To = from, to
	// These counted from the newest down: since an id were the builds older than it.
	if since != 0 {
		filter.To = since - 1
	}
	if until != 0 {
		filter.From = until + 1
	}
	return filter, nil
}

// addLinks tells where the builds before and after these are, when there are any.
func (s *Server) addLinks(w http.ResponseWriter, r *http.Request, filter state.BuildFilter, builds []api.Build) error {
	if len(builds) == 0 {
		return nil
	}
	older, newer := filter, filter
	older.From, older.To, older.Limit = 0, builds[len(builds)-1].ID-1, 1
	newer.From, newer.To, newer.Limit = builds[0].ID+1, 0, 1
	for _, page := range []struct {
		relation, parameter string
		bound               int
		filter              state.BuildFilter
	}{{"next", "to", older.To, older}, {"previous", "from", newer.From, newer}} {
		if page.bound == 0 {
			continue // no build is older than the first
		}
		others, err := s.database.Builds(r.Context(), page.filter)
		if err != nil {
			return err
		}
		if len(others) > 0 {
			query := url.Values{"limit": {strconv.Itoa(filter.Limit)}, page.parameter: {strconv.Itoa(page.bound)}}
			for _, status := range filter.Status {
				query.Add("status", string(status))
			}
			w.Header().Add("Link", fmt.Sprintf("<%s%s?%s>; rel=%q", s.externalURL(r), r.URL.EscapedPath(), query.Encode(), page.relation))
		}
	}
	return nil
}
