package server

import (
	"context"
	"encoding/base64"
	"net"
	"net/http"
	"slices"
	"strings"

	"midge/api"
	"midge/trace"
)

// mainTeam is the team whose owners are administrators.
const mainTeam = "main"

// role is what a user may do in a team, each role all that those below it may.
type role int

const (
	noRole role = iota
	viewer
	pipelineOperator
	member
	owner
)

// roleNames are the roles' names on the wire and in configuration files.
var roleNames = map[string]role{
	"viewer":            viewer,
	"pipeline-operator": pipelineOperator,
	"member":            member,
	"owner":             owner,
}

func (r role) String() string {
	for name, named := range roleNames {
		if named == r {
			return name
		}
	}
	return "nobody"
}

// identity is who sends a request.
type identity struct {
	connector string // where the user is known
	name      string
	groups    []string // as the connector says
	admin     bool
	roles     map[string]role // by team
	tokenID   int             // of the bearer token, 0 on the unix socket
}

// socketIdentity is who comes by the unix socket: its file mode has let them in.
var socketIdentity = &identity{connector: connectorUnix, name: "local", admin: true}

// user is the name by which teams, builds and tokens know the user.
func (i *identity) user() string {
	if i.connector == connectorUnix {
		return i.name
	}
	return i.connector + ":" + i.name
}

// in gives the user's role in a team.
func (i *identity) in(team string) role {
	if i.admin {
		return owner
	}
	return i.roles[team]
}

// teams are those the user may see, or nil for all of them.
func (i *identity) teams() []string {
	if i.admin {
		return nil
	}
	teams := []string{}
	for team := range i.roles {
		teams = append(teams, team)
	}
	slices.Sort(teams)
	return teams
}

// subject is the user's sub as dex makes it: a protocol buffer of the user's id
// and connector, in base64.
func (i *identity) subject() string {
	b := append([]byte{0x0a, byte(len(i.name))}, i.name...)
	b = append(append(b, 0x12, byte(len(i.connector))), i.connector...)
	return base64.RawURLEncoding.EncodeToString(b)
}

// identify gives a user the roles that the configuration says, or nil when it no
// longer has such a user.
func (s *Server) identify(user string, groups []string) *identity {
	connector, name, _ := strings.Cut(user, ":")
	_, local := s.passwords[name]
	if connector == connectorLocal && !local || connector == connectorOIDC && s.provider == nil {
		return nil
	}
	i := &identity{connector: connector, name: name, groups: groups, roles: map[string]role{}}
	for team, auth := range s.teams {
		for roleName, members := range auth {
			if i.among(members) {
				i.roles[team] = max(i.roles[team], roleNames[roleName])
			}
		}
	}
	i.admin = i.roles[mainTeam] == owner
	return i
}

// among tells whether the user, or a group of the user's, is one of the members.
func (i *identity) among(members map[string][]string) bool {
	return slices.Contains(members["users"], i.user()) ||
		slices.ContainsFunc(i.groups, func(group string) bool {
			return slices.Contains(members["groups"], i.connector+":"+group)
		})
}

// teamAuth is who has which role in a team, as api.Team.Auth shows it.
type teamAuth = map[string]map[string][]string

// apiTeam is the team as the API shows it.
func (s *Server) apiTeam(team api.Team) api.Team {
	team.Auth = s.teams[team.Name]
	return team
}

type contextKey int

const (
	identityKey contextKey = iota
	connectionKey
)

// withConnection lets handlers know over which connection a request came.
func withConnection(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey, conn)
}

// bySocket reports whether a request came over the unix socket.
func bySocket(r *http.Request) bool {
	conn, _ := r.Context().Value(connectionKey).(net.Conn)
	_, unix := conn.(*net.UnixConn)
	return unix
}

// requester is who sent the request. Only handlers that need a login may ask.
func requester(r *http.Request) *identity {
	return r.Context().Value(identityKey).(*identity)
}

// authenticate finds out who sends a request; nil is nobody who has logged in.
func (s *Server) authenticate(r *http.Request) (*identity, error) {
	if bySocket(r) {
		return socketIdentity, nil
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") || token == "" {
		return nil, nil
	}
	return s.tokens.identity(r.Context(), token)
}

// failUnknown answers a request of which it is not known who sends it.
func failUnknown(w http.ResponseWriter) {
	fail(w, http.StatusUnauthorized, "not authorized: log in to this server first, or again if the login has expired")
}

// loggedIn lets a request pass to next when it is known who sends it.
func (s *Server) loggedIn(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, err := s.authenticate(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if who == nil {
			failUnknown(w)
			return
		}
		trace.SetUser(r.Context(), who.user())
		if !s.withinRequests(w, who) {
			return
		}
		next(w, r.WithContext(context.WithValue(r.Context(), identityKey, who)))
	}
}

// inTeam lets a request pass whose user has at least that role in the team of the
// path. A team that the user has no role in is not there.
func (s *Server) inTeam(least role, next http.HandlerFunc) http.HandlerFunc {
	return s.loggedIn(func(w http.ResponseWriter, r *http.Request) {
		team := r.PathValue("team")
		_, exists := s.teams[team]
		if exists && s.permitted(w, r, team, least) && s.withinTeamRequests(w, requester(r), team) {
			next(w, r)
		} else if !exists {
			notFound(w, "team %q", team)
		}
	})
}

// asAdmin lets a request of an administrator pass.
func (s *Server) asAdmin(next http.HandlerFunc) http.HandlerFunc {
	return s.loggedIn(func(w http.ResponseWriter, r *http.Request) {
		if !requester(r).admin {
			fail(w, http.StatusForbidden, "only an owner of the team main may do that")
			return
		}
		next(w, r)
	})
}

// permitted reports whether the user has at least that role in a team, and answers
// the request when not.
func (s *Server) permitted(w http.ResponseWriter, r *http.Request, team string, least role) bool {
	has := requester(r).in(team)
	switch {
	case has == noRole:
		notFound(w, "team %q", team)
	case has < least:
		fail(w, http.StatusForbidden, "%s has the role %s in team %q, and that takes %s", requester(r).user(), has, team, least)
	}
	return has >= least
}
