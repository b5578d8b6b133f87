package pid1

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestFindIdentity(t *testing.T) {
	passwd := []passwdLine{{name: "root", home: "/root"}, {name: "builder", uid: 1001, gid: 1002, home: "/home/builder"}, {name: "12", uid: 13, gid: 14}}
	group := []groupLine{{name: "builders", gid: 1002, members: []string{"builder"}}, {name: "docker", gid: 1003, members: []string{"other", "builder"}}}
	builder := identity{uid: 1001, gid: 1002, groups: []uint32{1002, 1003}, name: "builder", home: "/home/builder"}
	tests := []struct {
		user string
		want identity
		err  string
	}{
		{user: "", want: identity{groups: []uint32{0}, name: "root", home: "/root"}},
		{user: "builder", want: builder},
		{user: "1001", want: builder},
		{user: "12", want: identity{uid: 13, gid: 14, groups: []uint32{14}, name: "12"}},
		{user: "builder:docker", want: identity{uid: 1001, gid: 1003, groups: []uint32{1003}, name: "builder", home: "/home/builder"}},
		{user: ":77", want: identity{gid: 77, groups: []uint32{77}, name: "root", home: "/root"}},
		{user: "5:6", want: identity{uid: 5, gid: 6, groups: []uint32{6}, home: "/"}},
		{user: "5", want: identity{uid: 5, groups: []uint32{0}, home: "/"}},
		{user: "nobody", err: `no user "nobody"`},
		{user: "4294967295", err: `no user "4294967295"`},
		{user: "-1", err: `no user "-1"`},
		{user: "builder:", err: `no group ""`},
		{user: "builder:wheel", err: `no group "wheel"`},
	}
	for _, test := range tests {
		got, err := findIdentity(test.user, passwd, group)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("user %q: error %v, want one with %q", test.user, err, test.err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("user %q is %+v (%v), want %+v", test.user, got, err, test.want)
		}
	}
	// An image need not have these files.
	for _, user := range []string{"", "0", "root"} {
		if got, err := findIdentity(user, nil, nil); err != nil || got.uid != 0 || got.home != "/root" {
			t.Errorf("user %q without a passwd is %+v (%v)", user, got, err)
		}
	}
}

func TestParseLines(t *testing.T) {
	for line, want := range map[string]passwdLine{
		"builder:x:1001:1002:B,,,:/home/builder:/bin/sh": {name: "builder", uid: 1001, gid: 1002, home: "/home/builder"},
		"short:x:1:2:gecos:/home":                        {name: "short", uid: 1, gid: 2, home: "/home"},
	} {
		if got, ok := parsePasswdLine(line); !ok || got != want {
			t.Errorf("%q is %+v, want %+v", line, got, want)
		}
	}
	for _, line := range []string{"", "+", "# comment", "x:y", ":x:1:2:g:/h:/s", "a:x:b:2:g:/h:/s", "a:x:1:-2:g:/h:/s"} {
		if got, ok := parsePasswdLine(line); ok {
			t.Errorf("%q was taken for %+v", line, got)
		}
	}
	if got, ok := parseGroupLine("docker:x:1003:a,,b"); !ok || !reflect.DeepEqual(got, groupLine{name: "docker", gid: 1003, members: []string{"a", "b"}}) {
		t.Errorf("the group is %+v", got)
	}
	for _, line := range []string{"", "docker:x", ":x:1:", "docker:x:y:"} {
		if got, ok := parseGroupLine(line); ok {
			t.Errorf("%q was taken for %+v", line, got)
		}
	}
}

func TestEnvironment(t *testing.T) {
	id := identity{name: "builder", home: "/home/builder"}
	got := id.environment([]string{"A=1", "HOME=/work", "B=2", "A=3", "EMPTY=", "PATH=/bin"}, true)
	slices.Sort(got)
	want := []string{"A=3", "B=2", "EMPTY=", "HOME=/work", "PATH=/bin", "TERM=xterm", "USER=builder"}
	if !slices.Equal(got, want) {
		t.Errorf("the environment is %q, want %q", got, want)
	}
	got = identity{home: "/"}.environment(nil, false)
	slices.Sort(got)
	if want := []string{"HOME=/", "PATH=" + defaultPath}; !slices.Equal(got, want) {
		t.Errorf("the environment is %q, want %q", got, want)
	}
}

func FuzzPasswdLine(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/sh")
	f.Add("a:b:c")
	f.Fuzz(func(t *testing.T, line string) {
		if p, ok := parsePasswdLine(line); ok && (p.name == "" || !strings.HasPrefix(line, p.name+":")) {
			t.Errorf("%q is the user %q", line, p.name)
		}
		if g, ok := parseGroupLine(line); ok && slices.Contains(g.members, "") {
			t.Errorf("%q has a member without a name", line)
		}
	})
}
