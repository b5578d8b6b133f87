package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// LocalUser is a user whom the server knows by itself.
type LocalUser struct {
	Name string
	// Password is the password, or a bcrypt hash of it.
	Password string
}

// ParseLocalUser reads NAME:PASSWORD, where the password may be a bcrypt hash.
func ParseLocalUser(text string) (LocalUser, error) {
	name, password, found := strings.Cut(text, ":")
	switch {
	case !found || name == "" || password == "":
		// The text is not repeated, as it may be a password.
		return LocalUser{}, fmt.Errorf("a local user is written NAME:PASSWORD, where PASSWORD may be a bcrypt hash")
	case len(name) > maxUserName || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return LocalUser{}, fmt.Errorf("the name of a local user has 1 to %d characters, none of them a space or a control character", maxUserName)
	}
	return LocalUser{Name: name, Password: password}, nil
}

// maxUserName bounds the names of users, in bytes.
const maxUserName = 120

// passwords checks the passwords of local users.
type passwords map[string]passwordCheck

// passwordCheck reports whether a password is right.
type passwordCheck func(password string) bool

func newPasswords(users []LocalUser) passwords {
	p := passwords{}
	for _, user := range users {
		if _, err := bcrypt.Cost([]byte(user.Password)); err == nil {
			p[user.Name] = hashedPassword(user.Password)
		} else {
			p[user.Name] = plainPassword(user.Password)
		}
	}
	return p
}

// check reports whether there is such a user with that password. To be told no
// takes at least as long as a hash, so that the time does not tell which names there are.
func (p passwords) check(name, password string) bool {
	if len(password) > maxPassword {
		return false
	}
	if right, known := p[name]; known && right(password) {
		return true
	}
	hashedPassword(nobodysHash)(password)
	return false
}

const (
	// maxPassword bounds passwords, in bytes; bcrypt reads no more.
	maxPassword = 72
	// nobodysHash is the bcrypt hash, at the default cost, of random bytes that nobody has.
	nobodysHash = "$2a$10$/Jjc4Rgem3GPpu0jasxkkuopL3KFX0g3syoj4eUI0Tb./2mAGZDaa"
)

func hashedPassword(hash string) passwordCheck {
	return func(password string) bool {
		return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
	}
}

func plainPassword(want string) passwordCheck {
	sum := sha256.Sum256([]byte(want))
	return func(password string) bool {
		got := sha256.Sum256([]byte(password))
		return subtle.ConstantTimeCompare(sum[:], got[:]) == 1
	}
}
