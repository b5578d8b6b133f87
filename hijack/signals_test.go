package hijack

import (
	"errors"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"midge/runtime"
)

// A signal that comes twice at once, as timeout sends it, is passed on once; one that
// comes after it detaches.
func TestSignalTwiceAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal)
		u := &user{signals: signals}
		var passed []runtime.Signal
		ended := make(chan error, 1)
		go func() {
			ended <- u.heedSignals(t.Context(), func(s runtime.Signal) { passed = append(passed, s) })
		}()
		signals <- syscall.SIGTERM
		signals <- syscall.SIGTERM
		synctest.Wait()
		if want := []runtime.Signal{runtime.SignalTerminate}; !slices.Equal(passed, want) {
			t.Errorf("passed on is %q, want %q", passed, want)
		}
		select {
		case err := <-ended:
			t.Fatalf("it ended with %v", err)
		default:
		}
		time.Sleep(SameSignal)
		signals <- syscall.SIGTERM
		var detached *SignalError
		if err := <-ended; !errors.As(err, &detached) || detached.Signal != syscall.SIGTERM {
			t.Errorf("it ended with %v", err)
		}
	})
}
