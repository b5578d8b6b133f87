package server_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"midge/server"
	"midge/server/servertest"
)

// browser keeps cookies, and is told of redirects and does not follow them.
type browser struct {
	t      *testing.T
	url    string
	client *http.Client
}

func newBrowser(t *testing.T, s *servertest.Server) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t, s.URL, &http.Client{
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (b *browser) send(request *http.Request) (*http.Response, string) {
	b.t.Helper()
	response, err := b.client.Do(request.WithContext(b.t.Context()))
	if err != nil {
		b.t.Fatal(err)
	}
	return response, readAll(b.t, response)
}

func (b *browser) get(path string) (*http.Response, string) {
	b.t.Helper()
	request, err := http.NewRequest("GET", b.url+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.send(request)
}

// post sends a form as from a page of that origin.
func (b *browser) post(path, origin string, form url.Values) (*http.Response, string) {
	b.t.Helper()
	request, err := http.NewRequest("POST", b.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Origin", origin)
	return b.send(request)
}

func browserForm(fields ...string) url.Values {
	form := url.Values{"username": {servertest.User}, "password": {servertest.Password}}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return form
}

func TestBrowserLoginForFly(t *testing.T) {
	s := startServer(t, servertest.Options{})
	tokens := make(chan string, 1)
	// As fly listens: it takes the token and sends a browser on.
	fly := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tokens <- r.FormValue("token")
		http.Redirect(w, r, s.URL+"/fly_success?noop=true", http.StatusFound)
	}))
	defer fly.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(fly.URL, "http://"), ":")
	b := newBrowser(t, s)
	response, page := b.get("/login?fly_port=" + port)
	if response.StatusCode != http.StatusOK || !strings.Contains(page, `name="fly_port" value="`+port+`"`) {
		t.Fatalf("got %d: %s", response.StatusCode, page)
	}
	if policy := response.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' http://127.0.0.1:"+port) {
		t.Errorf("a browser would not send the token on: %s", policy)
	}
	response, _ = b.post("/login", s.URL, browserForm("fly_port", port))
	location := response.Header.Get("Location")
	if response.StatusCode != http.StatusSeeOther || !strings.HasPrefix(location, fly.URL+"/?token=bearer%20") {
		t.Fatalf("got %d to %q, want a redirect to fly", response.StatusCode, location)
	}
	b.client.CheckRedirect = nil
	request, err := http.NewRequest("GET", location, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, page := b.send(request); !strings.Contains(page, "You are logged in") {
		t.Errorf("after all that the browser shows %s", page)
	}
	kind, token, _ := strings.Cut(<-tokens, " ")
	if kind != "bearer" {
		t.Errorf("fly has got a token of the kind %q", kind)
	}
	someone := &user{t, s.URL, token}
	someone.want(http.StatusOK, "GET", "/api/v1/user", "")
	b.client.CloseIdleConnections()
}

func TestBrowserLoginShowsToken(t *testing.T) {
	s := startServer(t, servertest.Options{})
	for _, form := range []url.Values{browserForm(), browserForm("fly_port", "1234", "show", "token")} {
		response, page := newBrowser(t, s).post("/login", s.URL, form)
		_, rest, _ := strings.Cut(page, `id="token">bearer `)
		token, _, _ := strings.Cut(rest, "</pre>")
		if response.StatusCode != http.StatusOK || token == "" {
			t.Fatalf("got %d: %s", response.StatusCode, page)
		}
		someone := &user{t, s.URL, strings.ReplaceAll(token, "&#43;", "+")}
		someone.want(http.StatusOK, "GET", "/api/v1/user", "")
	}
}

func TestBrowserLoginGoesWhereItMay(t *testing.T) {
	s := startServer(t, servertest.Options{})
	for to, follows := range map[string]bool{
		"/": true, "/builds/12?x=1": true,
		"//evil.example": false, "https://evil.example/": false, `/\evil.example`: false, "/\t/evil.example": false,
		"javascript:alert(1)": false, "evil": false, "/%zz": false,
	} {
		response, _ := newBrowser(t, s).post("/login", s.URL, browserForm("to", to))
		if location := response.Header.Get("Location"); follows && location != to || !follows && location != "" {
			t.Errorf("to %q: the browser is sent to %q", to, location)
		}
	}
	for _, port := range []string{"0", "65536", "-1", "80@evil.example", "x", "8 0"} {
		response, page := newBrowser(t, s).post("/login", s.URL, browserForm("fly_port", port))
		if location := response.Header.Get("Location"); location != "" || !strings.Contains(page, "You are logged in") {
			t.Errorf("port %q: the browser is sent to %q", port, location)
		}
	}
}

func TestBrowserLoginRefused(t *testing.T) {
	// While it stands still, nobody is granted another guess.
	at := time.Now()
	s := startServer(t, servertest.Options{Configure: func(config *server.Config) { config.Now = func() time.Time { return at } }})
	b := newBrowser(t, s)
	if response, page := b.post("/login", "https://evil.example", browserForm("to", "/")); response.StatusCode != http.StatusForbidden || response.Header.Get("Set-Cookie") != "" {
		t.Errorf("a form of another server: got %d: %s", response.StatusCode, page)
	}
	// Longer than any can be: so it is not hashed, which would take a while.
	wrong := strings.Repeat("x", 73)
	for range 10 {
		response, page := b.post("/login", s.URL, browserForm("password", wrong, "to", "/builds/1"))
		if response.StatusCode != http.StatusUnauthorized || !strings.Contains(page, "Invalid username or password") || !strings.Contains(page, `value="/builds/1"`) {
			t.Fatalf("wrong password: got %d: %s", response.StatusCode, page)
		}
	}
	response, page := b.post("/login", s.URL, browserForm("to", "/"))
	if response.StatusCode != http.StatusTooManyRequests || response.Header.Get("Retry-After") == "" || response.Header.Get("Set-Cookie") != "" {
		t.Errorf("after ten wrong passwords: got %d, %v: %s", response.StatusCode, response.Header, page)
	}
	// They are the same guesses for both ways to log in.
	if _, err := s.Login(t.Context(), servertest.User, servertest.Password); err == nil {
		t.Error("after ten wrong passwords in a browser, fly may go on")
	}
}

func TestSessionCookie(t *testing.T) {
	s := startServer(t, servertest.Options{Configure: func(config *server.Config) { config.ExternalURL = "https://midge.example" }})
	b := newBrowser(t, s)
	response, _ := b.post("/login", "https://midge.example", browserForm("to", "/"))
	cookies := response.Cookies()
	if len(cookies) != 1 {
		t.Fatalf("got the cookies %v", cookies)
	}
	if c := cookies[0]; !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.MaxAge <= 0 {
		t.Errorf("got the cookie %v", c)
	}
	// The API but for what pages need is not open to cookies.
	request, err := http.NewRequest("GET", s.URL+"/api/v1/user", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.AddCookie(cookies[0])
	if response, _ := b.send(request); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("the API takes a cookie: %d", response.StatusCode)
	}
	// A page of another site has nothing done with it, not even where the browser sends it.
	for path, form := range map[string]url.Values{"/login": browserForm("to", "/"), "/logout": nil} {
		request, err := http.NewRequest("POST", s.URL+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Sec-Fetch-Site", "cross-site")
		request.AddCookie(cookies[0])
		if response, _ := b.send(request); response.StatusCode != http.StatusForbidden || len(response.Cookies()) > 0 {
			t.Errorf("%s takes a form of another site: %s, %v", path, response.Status, response.Cookies())
		}
	}
	someone := &user{t, s.URL, cookies[0].Value}
	someone.want(http.StatusOK, "GET", "/api/v1/user", "")
}

func TestBrowserLogout(t *testing.T) {
	s := startServer(t, servertest.Options{})
	b := newBrowser(t, s)
	response, _ := b.post("/login", s.URL, browserForm("to", "/"))
	token := response.Cookies()[0].Value
	someone := &user{t, s.URL, token}
	someone.want(http.StatusOK, "GET", "/api/v1/user", "")
	if response, _ := b.post("/logout", "https://evil.example", nil); response.StatusCode != http.StatusForbidden {
		t.Errorf("another server has logged the user out: %d", response.StatusCode)
	}
	b.post("/logout", s.URL, nil)
	someone.want(http.StatusUnauthorized, "GET", "/api/v1/user", "")
	home, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	if left := b.client.Jar.Cookies(home); len(left) > 0 {
		t.Errorf("the browser still has %v", left)
	}
}
