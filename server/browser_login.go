package server

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// sessionCookie has the token of who has logged in with a browser.
const sessionCookie = "midge_session"

// browserRoutes are for who logs in with a browser: to look at pages, or because a
// fly or a midge has sent them.
func (s *Server) browserRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /login", s.loginPage)
	mux.HandleFunc("GET /sky/login", s.loginPage)
	mux.HandleFunc("GET /sky/token", s.loginPage)
	mux.HandleFunc("POST /sky/token", s.login)
	mux.HandleFunc("GET /fly_success", s.flySuccess)
	mux.Handle("POST /login", s.ownForms(s.browserLogin))
	if s.provider != nil {
		mux.HandleFunc("GET /login/oidc", s.providerLogin)
		mux.HandleFunc("GET "+callbackPath, s.providerCallback)
	}
	mux.Handle("POST /logout", s.ownForms(s.withCookie(s.browserLogout)))
}

// ownForms turns away forms that a browser sends from the pages of other servers.
func (s *Server) ownForms(next http.HandlerFunc) http.Handler {
	protection := http.NewCrossOriginProtection()
	if external, err := url.Parse(s.config.ExternalURL); err == nil && external.Host != "" {
		// A proxy may call the server by another name than its users do. What is no
		// origin is not trusted, and that is all.
		_ = protection.AddTrustedOrigin(external.Scheme + "://" + external.Host)
	}
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.sendMessage(w, r, http.StatusForbidden, "That is no page of this server",
			"The form was sent by the page of another server. Open the page of this one, and try there.")
	}))
	return protection.Handler(next)
}

// withCookie lets a browser show its cookie where others show a token. It is for
// what a page leads to, not for the whole API.
func (s *Server) withCookie(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie(sessionCookie)
		if err == nil && r.Header.Get("Authorization") == "" {
			r = r.Clone(r.Context())
			r.Header.Set("Authorization", "Bearer "+cookie.Value)
		}
		next(w, r)
	}
}

// browsing lets a request for a page pass to next when it is known who sends it. Who
// has not logged in gets the page to do that.
func (s *Server) browsing(next http.HandlerFunc) http.HandlerFunc {
	return s.withCookie(func(w http.ResponseWriter, r *http.Request) {
		who, err := s.authenticate(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if who == nil {
			http.Redirect(w, r, "/login?"+url.Values{"to": {r.URL.RequestURI()}}.Encode(), http.StatusSeeOther)
			return
		}
		next(w, r.WithContext(context.WithValue(r.Context(), identityKey, who)))
	})
}

// loginForm is the page to log in, and what its form sends.
type loginForm struct {
	frame
	Server string // what it is called
	// FlyPort is where on the user's computer a program waits for the token, "" for none.
	FlyPort string
	// To is the page that the user wanted, "" for none.
	To    string
	Name  string // of the user
	Wrong string // why the last attempt was none
	// Local tells that there are users with a password, Provider is who knows others, ""
	// for nobody.
	Local    bool
	Provider string
}

// ProviderLink leads to the provider, to come back with a login, or for a token that is shown.
func (f loginForm) ProviderLink(show bool) string {
	values := url.Values{}
	for name, value := range map[string]string{"fly_port": f.FlyPort, "to": f.To} {
		if value != "" {
			values.Set(name, value)
		}
	}
	if show {
		values.Set("show", "token")
	}
	return "/login/oidc?" + values.Encode()
}

func (s *Server) newLoginForm(values url.Values) loginForm {
	form := loginForm{frame: newFrame("Log in"), Server: s.config.ClusterName, Name: values.Get("username"), Local: true}
	if form.Server == "" {
		form.Server = "midge"
	}
	if s.provider != nil {
		form.Provider, form.Local = s.provider.config.DisplayName, len(s.passwords) > 0
	}
	if port, err := strconv.ParseUint(values.Get("fly_port"), 10, 16); err == nil && port != 0 {
		form.FlyPort = strconv.FormatUint(port, 10)
	}
	if to := values.Get("to"); isOwnPath(to) {
		form.To = to
	}
	return form
}

// isOwnPath reports whether a reference leads to a page of this server, however a
// browser may read it.
func isOwnPath(reference string) bool {
	parsed, err := url.Parse(reference)
	return err == nil && parsed.Scheme == "" && parsed.Host == "" &&
		strings.HasPrefix(reference, "/") && !strings.HasPrefix(reference, "//") &&
		!strings.ContainsFunc(reference, func(r rune) bool { return r == '\\' || r <= ' ' || r == 0x7f })
}

// callback is where the program waits that has sent the user here.
func (f loginForm) callback() string { return "http://127.0.0.1:" + f.FlyPort }

func (s *Server) loginPage(w http.ResponseWriter, r *http.Request) {
	s.sendLogin(w, r, http.StatusOK, s.newLoginForm(r.URL.Query()))
}

func (s *Server) sendLogin(w http.ResponseWriter, r *http.Request, status int, form loginForm) {
	var forms []string
	if form.FlyPort != "" {
		// Browsers hold where a form leads on to against this too.
		forms = append(forms, form.callback())
	}
	s.sendPage(w, r, status, "login", form.Nonce, form, forms...)
}

// browserLogin takes the form of the login page.
func (s *Server) browserLogin(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	r.Body = http.MaxBytesReader(w, r.Body, maxLoginBody)
	if err := r.ParseForm(); err != nil {
		s.sendMessage(w, r, http.StatusBadRequest, "That did not arrive whole", "Go back and try again.")
		return
	}
	form := s.newLoginForm(r.PostForm)
	if failed := s.tryPassword(w, r, form.Name, r.PostForm.Get("password")); failed != nil {
		form.Wrong = failed.description
		s.sendLogin(w, r, failed.status, form)
		return
	}
	who := &identity{connector: connectorLocal, name: form.Name}
	s.finishBrowserLogin(w, r, form, r.PostForm.Get("show") != "", who)
}

// finishBrowserLogin gives a user a token, and sends the browser to where it is wanted,
// unless it is to be shown.
func (s *Server) finishBrowserLogin(w http.ResponseWriter, r *http.Request, form loginForm, show bool, who *identity) {
	name := "browser"
	if form.FlyPort != "" {
		name = "login"
	}
	token, row, err := s.tokens.create(r.Context(), who.user(), who.groups, name, s.config.AuthDuration)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	switch {
	case form.FlyPort != "" && !show:
		http.Redirect(w, r, form.callback()+"/?token="+url.PathEscape("bearer ")+url.QueryEscape(token), http.StatusSeeOther)
	case form.FlyPort == "" && form.To != "":
		s.setCookie(w, r, sessionCookie, token, int(s.config.AuthDuration.Seconds()))
		http.Redirect(w, r, form.To, http.StatusSeeOther)
	default:
		page := tokenPage{newFrame("You are logged in"), "bearer " + token, row.ExpiresAt.UTC().Format("2 January 2006, 15:04 UTC")}
		s.sendPage(w, r, http.StatusOK, "token", page.Nonce, page)
	}
}

// tokenPage shows a token to be pasted.
type tokenPage struct {
	frame
	Token   string
	Expires string
}

// setCookie has the browser keep something for that many seconds; less than 0 has it
// forget what it has.
func (s *Server) setCookie(w http.ResponseWriter, r *http.Request, name, value string, seconds int) {
	http.SetCookie(w, &http.Cookie{
		Name:     name,
		Value:    value,
		Path:     "/",
		MaxAge:   seconds,
		HttpOnly: true,
		Secure:   strings.HasPrefix(s.externalURL(r), "https:"),
		SameSite: http.SameSiteLaxMode,
	})
}

func (s *Server) browserLogout(w http.ResponseWriter, r *http.Request) {
	who, err := s.authenticate(r)
	if err == nil && who != nil && who.tokenID != 0 {
		err = s.tokens.delete(r.Context(), who.tokenID)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.setCookie(w, r, sessionCookie, "", -1)
	http.Redirect(w, r, "/login?to=%2F", http.StatusSeeOther)
}

// flySuccess is where fly sends the browser on to once it has the token.
func (s *Server) flySuccess(w http.ResponseWriter, r *http.Request) {
	s.sendMessage(w, r, http.StatusOK, "You are logged in", "Go back to where you have started it; this page may be closed.")
}
