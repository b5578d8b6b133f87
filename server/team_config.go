package server

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"midge/api"
)

// TeamRoles says who has which role in a team: owner, member, pipeline-operator or viewer.
type TeamRoles map[string]Members

// Members are users, each written CONNECTOR:NAME as in local:ann or oidc:ann, and
// groups of users, as in oidc:developers.
type Members struct {
	Users  []string `yaml:"users"`
	Groups []string `yaml:"groups"`
}

// Connectors are where users can be known.
const (
	connectorLocal = "local"  // users of the server's own
	connectorOIDC  = "oidc"   // users of an OpenID Connect provider
	connectorUnix  = "socket" // whoever may open the unix socket
)

// maxTeamName bounds the names of teams, in bytes.
const maxTeamName = 120

// teamsOf gives the teams of a configuration, main always among them.
func teamsOf(config Config) (map[string]teamAuth, error) {
	if err := checkUsers(config.Users); err != nil {
		return nil, err
	}
	teams := map[string]teamAuth{}
	for _, name := range slices.Sorted(maps.Keys(config.Teams)) {
		auth, err := authOf(name, config)
		if err != nil {
			return nil, err
		}
		teams[name] = auth
	}
	switch _, configured := teams[mainTeam]; {
	case configured && config.MainOwners != nil:
		return nil, fmt.Errorf("who owns the team %s is said twice: by its roles, and by who owns it", mainTeam)
	case !configured:
		auth, err := mainAuth(config)
		if err != nil {
			return nil, err
		}
		teams[mainTeam] = auth
	}
	return teams, nil
}

func checkUsers(users []LocalUser) error {
	known := map[string]bool{}
	for _, user := range users {
		if known[user.Name] {
			return fmt.Errorf("there are two local users %q", user.Name)
		}
		known[user.Name] = true
	}
	return nil
}

// mainAuth gives the team main to those who own it by configuration, or else to all
// local users.
func mainAuth(config Config) (teamAuth, error) {
	owners := config.MainOwners
	if owners == nil {
		for _, user := range config.Users {
			owners = append(owners, user.Name)
		}
	}
	users := []string{}
	for _, name := range owners {
		user := connectorLocal + ":" + name
		if err := checkMember(user, config); err != nil {
			return nil, fmt.Errorf("an owner of the team %s: %w", mainTeam, err)
		}
		users = append(users, user)
	}
	return teamAuth{owner.String(): {"users": users, "groups": {}}}, nil
}

// authOf gives the roles of a team of the configuration as the API shows them.
func authOf(team string, config Config) (teamAuth, error) {
	if team == "" || len(team) > maxTeamName || strings.ContainsFunc(team, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' }) {
		return nil, fmt.Errorf("a team cannot be called %q: a name has 1 to %d characters, no spaces and no slash", team, maxTeamName)
	}
	auth := teamAuth{}
	roles := config.Teams[team]
	for _, name := range slices.Sorted(maps.Keys(roles)) {
		if roleNames[name] == noRole {
			return nil, fmt.Errorf("the team %q has no role %q%s", team, name, nearestRole(name))
		}
		for _, member := range slices.Concat(roles[name].Users, roles[name].Groups) {
			if err := checkMember(member, config); err != nil {
				return nil, fmt.Errorf("the role %s of the team %q: %w", name, team, err)
			}
		}
		// Concourse shows empty lists, not null.
		auth[name] = map[string][]string{
			"users":  append([]string{}, roles[name].Users...),
			"groups": append([]string{}, roles[name].Groups...),
		}
	}
	return auth, nil
}

func nearestRole(name string) string {
	if like := api.Nearest(name, slices.Collect(maps.Keys(roleNames))); like != "" {
		return "; did you mean " + like + "?"
	}
	return ": there are owner, member, pipeline-operator and viewer"
}

// checkMember tells what is wrong with a user or a group of a team.
func checkMember(member string, config Config) error {
	connector, name, _ := strings.Cut(member, ":")
	switch {
	case name == "" || connector != connectorLocal && connector != connectorOIDC:
		return fmt.Errorf("%q should be written local:NAME or oidc:NAME", member)
	case connector == connectorLocal && !slices.ContainsFunc(config.Users, func(user LocalUser) bool { return user.Name == name }):
		return fmt.Errorf("there is no local user %q: add the user, with a password", name)
	}
	return nil
}
