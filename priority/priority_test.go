package priority

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// The tests run this program again: what it does to itself stays with it.
func TestMain(m *testing.M) {
	if do := os.Getenv("PRIORITY_TEST"); do != "" {
		if err := run(strings.Fields(do)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// run does what is said, and prints the nice values that the threads have then, and what
// the session has.
func run(do []string) error {
	for _, what := range do {
		var err error
		switch what {
		case "raise":
			err = Raise()
		case "reset":
			err = Reset()
		case "nice":
			err = setThreads(5)
		}
		if err != nil {
			return err
		}
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	found := map[int]bool{}
	for _, thread := range threads {
		var number int
		if _, err := fmt.Sscan(thread.Name(), &number); err != nil {
			return err
		}
		nice, err := niceOf(number)
		if err != nil {
			return err
		}
		found[nice] = true
	}
	session, err := sessionNice()
	if err != nil {
		return err
	}
	fmt.Println(found, session)
	return nil
}

// sessionNice is what the scheduler has for this process's session, "" where it knows none.
func sessionNice() (string, error) {
	text, err := os.ReadFile("/proc/self/autogroup")
	if os.IsNotExist(err) {
		return "", nil
	}
	_, nice, _ := strings.Cut(string(text), " nice ")
	return strings.TrimSpace(nice), err
}

func TestPriority(t *testing.T) {
	shared, err := sessionNice()
	if err != nil {
		t.Fatal(err)
	}
	own := &syscall.SysProcAttr{Setsid: true}
	nobodys := &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	for _, test := range []struct {
		do            string
		as            *syscall.SysProcAttr
		nice, session string
	}{
		{"raise", own, "-10", "-10"},
		{"raise reset", own, "0", "-10"},
		{"nice raise reset", own, "5", "0"},
		{"raise reset", nobodys, "0", "0"},
		{"raise", nil, "-10", shared},
	} {
		if shared == "" {
			test.session = ""
		}
		program := exec.Command("/proc/self/exe")
		program.Env = append(os.Environ(), "PRIORITY_TEST="+test.do)
		program.SysProcAttr = test.as
		want := fmt.Sprintf("map[%s:true] %s\n", test.nice, test.session)
		if out, err := program.CombinedOutput(); err != nil || string(out) != want {
			t.Errorf("after %s as %+v there is %q, %v, want %q", test.do, test.as, out, err, want)
		}
	}
}
