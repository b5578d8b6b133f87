package api

// Token is a bearer token as the tokens endpoints give it, which only midge has.
// Times are Unix seconds; 0 means never.
type Token struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
	User string `json:"user"`

	CreatedAt int64 `json:"created_at"`
	ExpiresAt int64 `json:"expires_at"`
	UsedAt    int64 `json:"used_at,omitempty"`

	// Current tells that the request was sent with this token.
	Current bool `json:"current,omitempty"`
	// Token is the token itself, which the server gives only in the answer to its making.
	Token string `json:"token,omitempty"`
}

// NewToken asks for a token. An administrator may name another user; LastsSeconds of
// 0 leaves it to the server how long it lasts.
type NewToken struct {
	Name         string `json:"name"`
	User         string `json:"user,omitempty"`
	LastsSeconds int64  `json:"lasts_seconds,omitempty"`
}
