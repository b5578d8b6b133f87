package server

import "testing"

func TestBadProviders(t *testing.T) {
	tests := map[string]struct {
		provider OIDC
		want     string
	}{
		"no issuer": {OIDC{ClientID: "midge"}, "--oidc-issuer"},
		"no URL":    {OIDC{Issuer: "accounts.example.com", ClientID: "midge"}, "is no URL"},
		"no id":     {OIDC{Issuer: "https://accounts.example.com"}, "--oidc-client-id"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := shortDir(t)
			config := testConfig(dir)
			config.OIDC = test.provider
			wantFailure(t, dir, config, test.want)
		})
	}
}

func TestUserOfClaims(t *testing.T) {
	byMail := OIDC{UserNameKey: "email", GroupsKey: "teams"}
	if _, err := byMail.user(map[string]any{"email": "ann@example.com", "email_verified": false}); err == nil {
		t.Error("an address that was not verified is taken for the user's")
	}
	user, err := byMail.user(map[string]any{"email": "ann@example.com", "email_verified": true, "teams": []any{"devs", 1, "ops"}, "groups": []any{"no"}})
	if err != nil || user.name != "ann@example.com" || len(user.groups) != 2 || user.groups[1] != "ops" {
		t.Errorf("got %+v, %v", user, err)
	}
}
