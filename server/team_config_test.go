package server

import (
	"reflect"
	"strings"
	"testing"
)

func TestTeamsOf(t *testing.T) {
	users := []LocalUser{{"ann", "a"}, {"bob", "b"}}
	owned := func(names ...string) teamAuth {
		return teamAuth{"owner": {"users": append([]string{}, names...), "groups": {}}}
	}
	tests := []struct {
		name   string
		config Config
		want   map[string]teamAuth
		err    string
	}{
		{"nobody", Config{}, map[string]teamAuth{"main": owned()}, ""},
		{"all users own main", Config{Users: users}, map[string]teamAuth{"main": owned("local:ann", "local:bob")}, ""},
		{"some own main", Config{Users: users, MainOwners: []string{"bob"}}, map[string]teamAuth{"main": owned("local:bob")}, ""},
		{"roles", Config{Users: users, Teams: map[string]TeamRoles{
			"main": {"owner": {Users: []string{"local:ann"}}},
			"ci":   {"member": {Users: []string{"oidc:carl"}, Groups: []string{"oidc:devs"}}, "viewer": {}},
		}}, map[string]teamAuth{"main": owned("local:ann"), "ci": {
			"member": {"users": {"oidc:carl"}, "groups": {"oidc:devs"}}, "viewer": {"users": {}, "groups": {}},
		}}, ""},
		{"main said twice", Config{Users: users, MainOwners: []string{"bob"}, Teams: map[string]TeamRoles{"main": {}}}, nil, "said twice"},
		{"unknown owner", Config{Users: users, MainOwners: []string{"carl"}}, nil, `no local user "carl"`},
		{"unknown role", Config{Teams: map[string]TeamRoles{"ci": {"memebr": {}}}}, nil, `no role "memebr"; did you mean member?`},
		{"unknown member", Config{Users: users, Teams: map[string]TeamRoles{"ci": {"member": {Users: []string{"local:carl"}}}}}, nil, `no local user "carl"`},
		{"no connector", Config{Users: users, Teams: map[string]TeamRoles{"ci": {"member": {Users: []string{"ann"}}}}}, nil, "local:NAME or oidc:NAME"},
		{"the socket", Config{Teams: map[string]TeamRoles{"ci": {"member": {Users: []string{"socket:local"}}}}}, nil, "local:NAME or oidc:NAME"},
		{"bad group", Config{Teams: map[string]TeamRoles{"ci": {"member": {Groups: []string{"oidc:"}}}}}, nil, "local:NAME or oidc:NAME"},
		{"bad name", Config{Teams: map[string]TeamRoles{"a/b": {}}}, nil, `cannot be called "a/b"`},
		{"no name", Config{Teams: map[string]TeamRoles{"": {}}}, nil, `cannot be called ""`},
		{"two users of a name", Config{Users: append(users, users[0])}, nil, `two local users "ann"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := teamsOf(test.config)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got error %v, want one with %q", err, test.err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %v, %v; want %v", got, err, test.want)
			}
		})
	}
}

func TestGroups(t *testing.T) {
	s := &Server{provider: new(identityProvider), teams: map[string]teamAuth{
		"main": {"owner": {"groups": {"oidc:admins"}}},
		"ci":   {"member": {"groups": {"oidc:devs"}}, "viewer": {"groups": {"local:devs"}}},
	}}
	tests := []struct {
		user   string
		groups []string
		admin  bool
		ci     role
	}{
		{"oidc:ann", []string{"devs"}, false, member},
		{"oidc:ann", []string{"admins"}, true, owner},
		{"oidc:ann", []string{"oidc:admins"}, false, noRole},
		{"oidc:ann", nil, false, noRole},
	}
	for _, test := range tests {
		if got := s.identify(test.user, test.groups); got.admin != test.admin || got.in("ci") != test.ci {
			t.Errorf("%s of %v: administrator %v and %v, want %v and %v", test.user, test.groups, got.admin, got.in("ci"), test.admin, test.ci)
		}
	}
}
