package server_test

import (
	"bufio"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"midge/server/servertest"
)

// followers is how many follow one build at once.
const followers = 1000

// maxFollower bounds what the server may keep of memory for each of them: its
// connection's buffers, and not what it has still to read.
const maxFollower = 256 << 10

// A thousand follow one build, and one of them does not read: all others see all of it,
// who asks something else is answered, and memory does not grow with what is unread.
func TestThousandFollowers(t *testing.T) {
	s := startServer(t, servertest.Options{})
	someone := testUser(t, s)
	build := someone.build(script("sleep 1000"))
	path := fmt.Sprintf("/api/v1/builds/%d/events", build.ID)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	follow := func() *http.Response {
		request, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+path, nil)
		if err != nil {
			t.Error(err)
			return nil
		}
		request.Header.Set("Authorization", "Bearer "+someone.token)
		response, err := client.Do(request)
		if err != nil {
			t.Error(err)
			return nil
		}
		return response
	}
	slow := follow()
	defer slow.Body.Close()

	before := heap()
	var group, following sync.WaitGroup
	var whole atomic.Int64
	for range followers {
		following.Add(1)
		group.Go(func() {
			response := follow()
			following.Done()
			if response == nil {
				return
			}
			defer response.Body.Close()
			ended := false
			for lines := bufio.NewScanner(response.Body); lines.Scan(); {
				ended = ended || strings.Contains(lines.Text(), "event: end")
			}
			if ended {
				whole.Add(1)
			}
		})
	}
	following.Wait()
	if grown := heap() - before; grown > followers*maxFollower {
		t.Errorf("with %d followers the heap has grown by %d MB", followers, grown>>20)
	}
	someone.want(http.StatusOK, "GET", "/api/v1/builds", "")
	someone.want(http.StatusNoContent, "PUT", fmt.Sprintf("/api/v1/builds/%d/abort", build.ID), "")
	group.Wait()
	if n := whole.Load(); n != followers {
		t.Errorf("%d of %d followers have seen the end", n, followers)
	}
	someone.want(http.StatusOK, "GET", "/api/v1/builds", "")
}

// heap is what is in use of it.
func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
