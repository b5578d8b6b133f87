package server

import (
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

func TestParseLocalUser(t *testing.T) {
	tests := []struct {
		text string
		want LocalUser // zero: an error
	}{
		{"ann:secret", LocalUser{"ann", "secret"}},
		{"ann:se:cret", LocalUser{"ann", "se:cret"}},
		{"ann:$2a$10$abc", LocalUser{"ann", "$2a$10$abc"}},
		{"ann", LocalUser{}},
		{"ann:", LocalUser{}},
		{":secret", LocalUser{}},
		{"", LocalUser{}},
		{"an n:secret", LocalUser{}},
		{"an\nn:secret", LocalUser{}},
		{strings.Repeat("a", 121) + ":secret", LocalUser{}},
	}
	for _, test := range tests {
		got, err := ParseLocalUser(test.text)
		if got != test.want || (err == nil) != (test.want != LocalUser{}) {
			t.Errorf("%q: got %+v, %v; want %+v", test.text, got, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error has the password in it: %v", test.text, err)
		}
	}
}

// To be told that a user is not there must take as long as to be told that the
// password is wrong.
func TestNobodysHashIsOneThatTakesTime(t *testing.T) {
	if cost, err := bcrypt.Cost([]byte(nobodysHash)); err != nil || cost != bcrypt.DefaultCost {
		t.Errorf("got cost %d, %v; want %d", cost, err, bcrypt.DefaultCost)
	}
	if err := bcrypt.CompareHashAndPassword([]byte(nobodysHash), nil); err != bcrypt.ErrMismatchedHashAndPassword {
		t.Errorf("got %v, want that the password is wrong", err)
	}
}
