package chaos

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"midge/test/realserver"
)

// A build counts to 100 000 while the server is killed twenty times, at random
// instants. Its client, and one that watches, see every line once, and its exit status.
func TestServerIsKilledTwentyTimes(t *testing.T) {
	s := realserver.Start(t, realserver.Options{})
	// On a machine that is slow to start servers it must not end before the last kill.
	task := s.Script("count", `
i=1
while [ $i -le 100000 ]; do
  if [ $i -gt 99000 ]; then while ! test -e killed; do sleep 0.1; done; fi
  seq $i $((i+999))
  i=$((i+1000))
  sleep 0.1
done
exit 7`, "")
	const beforeLast = "\n99000\n"
	counting := execute(t, s, "-c", task)
	counting.says("1000\n")
	watching := begin(t, s, "watch", "-b", "1")
	const kills = 20
	for range kills {
		// Somewhere in what the server does next.
		next := len(counting.output.String()) + 1 + rand.N(20_000)
		realserver.Eventually(t, "the log goes on", func() error {
			output := counting.output.String()
			if len(output) < next && !strings.Contains(output, beforeLast) {
				return fmt.Errorf("it has %d bytes", len(output))
			}
			return nil
		})
		s.Kill()
		s.Start()
	}
	s.Midge("hijack", "-b", "1", "--", "touch", "killed").Want(t, 0)
	counting.want(7)
	watching.want(7)
	var want strings.Builder
	for i := 1; i <= 100_000; i++ {
		fmt.Fprintln(&want, i)
	}
	for _, follower := range []*background{counting, watching} {
		if got := follower.output.String(); got != want.String() {
			t.Errorf("the log has %d bytes and ends in %q, want %d", len(got), got[max(0, len(got)-50):], want.Len())
		}
	}
	if said := strings.Count(counting.stderr.String(), "lost"); said > 2*kills {
		t.Errorf("the client says %d times that it was lost:\n%s", said, counting.stderr.String())
	}
	t.Logf("the server was killed %d times; of 100000 lines none was lost or repeated, by the client or by one that watches", kills)
}
