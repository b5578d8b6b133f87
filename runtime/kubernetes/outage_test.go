package kubernetes

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Who waits is told of an outage that lasts, once, and of its end.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		o, said := &outage{}, make(chan string, 10)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			o.tell(ctx, "p", func(line string) { said <- line })
		}()
		want := func(line string) {
			t.Helper()
			synctest.Wait()
			select {
			case got := <-said:
				if got != line {
					t.Errorf("it said %q, want %q", got, line)
				}
			default:
				if line != "" {
					t.Errorf("it said nothing, want %q", line)
				}
			}
		}
		o.begin()
		time.Sleep(outagePatience - time.Nanosecond)
		o.end()
		time.Sleep(time.Hour)
		want("")

		began := time.Now().UTC().Format("15:04:05 UTC")
		o.begin()
		o.fail(errors.New("connection\nrefused"))
		time.Sleep(time.Second)
		o.begin()
		time.Sleep(outagePatience - time.Second)
		want("pod p is not reached since " + began + ": connection refused; the task goes on, and its output comes when the pod is reached again")
		o.fail(errors.New("no route to host"))
		time.Sleep(time.Hour)
		want("")
		o.end()
		want("pod p is reached again, after 1h0m5s")

		began = time.Now().UTC().Format("15:04:05 UTC")
		o.begin()
		time.Sleep(outagePatience)
		want("pod p is not reached since " + began + ": the cluster does not answer; the task goes on, and its output comes when the pod is reached again")
		cancel()
		<-ended
	})
}
