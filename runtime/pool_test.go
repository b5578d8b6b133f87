package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"midge/runtime"
	"midge/runtime/runtimetest"
)

func newPool(t *testing.T, strategies []runtime.Strategy, configs ...runtimetest.Config) (*runtime.Pool, []*runtimetest.Worker) {
	t.Helper()
	options := runtime.PoolOptions{Strategies: strategies, Version: "3.0"}
	var workers []*runtimetest.Worker
	for _, config := range configs {
		worker := runtimetest.NewWorker(config)
		workers = append(workers, worker)
		options.Workers = append(options.Workers, worker)
	}
	pool, err := runtime.NewPool(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	return pool, workers
}

// linux is a request that most workers suit.
var linux = runtime.WorkerRequest{Platform: "linux", Team: "main"}

// mustNotWait is for who is to be served at once.
func mustNotWait(t *testing.T) func(string, int) {
	return func(reason string, ahead int) { t.Errorf("it waits with %d before: %s", ahead, reason) }
}

func selectNow(t *testing.T, pool *runtime.Pool, request runtime.WorkerRequest) *runtime.Claim {
	t.Helper()
	claim, err := pool.Select(t.Context(), request, mustNotWait(t))
	if err != nil {
		t.Fatal(err)
	}
	return claim
}

func TestPoolSelectsWhatFits(t *testing.T) {
	pool, _ := newPool(t, nil,
		runtimetest.Config{Name: "plain"},
		runtimetest.Config{Name: "gpu", Tags: []string{"gpu", "big"}},
		runtimetest.Config{Name: "mac", Platform: "darwin"},
		runtimetest.Config{Name: "arm", Architecture: "arm64", Tags: []string{"arm"}},
		runtimetest.Config{Name: "parts", Team: "parts", OptionalTags: []string{"gpu", "big"}},
		runtimetest.Config{Name: "own", Team: "owners"},
		runtimetest.Config{Name: "own-gpu", Team: "owners", Tags: []string{"gpu"}})
	for _, test := range []struct {
		request runtime.WorkerRequest
		want    string // the worker, or what the error says
	}{
		{runtime.WorkerRequest{Platform: "linux", Team: "main"}, "plain"},
		{runtime.WorkerRequest{Platform: "darwin", Team: "main"}, "mac"},
		{runtime.WorkerRequest{Platform: "linux", Team: "main", Tags: []string{"gpu"}}, "gpu"},
		{runtime.WorkerRequest{Platform: "linux", Team: "main", Tags: []string{"big", "gpu"}}, "gpu"},
		{runtime.WorkerRequest{Platform: "linux", Team: "owners"}, "own"},
		{runtime.WorkerRequest{Platform: "linux", Team: "owners", Tags: []string{"gpu"}}, "own-gpu"},
		{runtime.WorkerRequest{Platform: "linux", Team: "owners", Tags: []string{"big"}}, "gpu"},
		{runtime.WorkerRequest{Platform: "windows", Team: "main"},
			"no workers satisfying: platform 'windows', version: '3.0'; there is plain (platform 'linux'), gpu (platform 'linux', tag 'gpu', tag 'big'), mac (platform 'darwin'), arm (platform 'linux', tag 'arm'): ask for a platform and tags that one of these has"},
		{runtime.WorkerRequest{Platform: "linux", Team: "main", Tags: []string{"gpu", "small"}},
			"no workers satisfying: platform 'linux', tag 'gpu', tag 'small', version: '3.0'; there is plain (platform 'linux'), gpu (platform 'linux', tag 'gpu', tag 'big'), mac (platform 'darwin'), arm (platform 'linux', tag 'arm'): ask for a platform and tags that one of these has"},
		{runtime.WorkerRequest{Platform: "linux", Team: "parts"}, "parts"},
		{runtime.WorkerRequest{Platform: "linux", Team: "parts", Tags: []string{"gpu"}}, "parts"},
		{runtime.WorkerRequest{Platform: "linux", Team: "parts", Tags: []string{"gpu", "arm"}}, "no workers satisfying: platform 'linux', tag 'gpu', tag 'arm'"},
		{runtime.WorkerRequest{Platform: "linux/arm64", Team: "main", Tags: []string{"arm"}}, "arm"},
		{runtime.WorkerRequest{Platform: "linux/s390x", Team: "main", Tags: []string{"gpu"}}, "gpu"},
		{runtime.WorkerRequest{Platform: "linux/amd64", Team: "main", Tags: []string{"arm"}},
			"no workers satisfying: platform 'linux/amd64', tag 'arm', version: '3.0'; there is plain (platform 'linux'), gpu (platform 'linux', tag 'gpu', tag 'big'), mac (platform 'darwin'), arm (platform 'linux/arm64', tag 'arm'): ask for a platform and tags that one of these has"},
		{runtime.WorkerRequest{Platform: "darwin", Team: "main", Tags: []string{"gpu"}}, "no workers satisfying: platform 'darwin', tag 'gpu'"},
	} {
		claim, err := pool.Select(t.Context(), test.request, mustNotWait(t))
		if err != nil {
			var none *runtime.NoWorkerError
			if !errors.As(err, &none) || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("%+v gave error %v (%T), want %s", test.request, err, err, test.want)
			}
			continue
		}
		if claim.Name() != test.want {
			t.Errorf("%+v gave %s, want %s", test.request, claim.Name(), test.want)
		}
		claim.Release()
	}
}

func TestPoolWithoutWorkers(t *testing.T) {
	pool, _ := newPool(t, nil, runtimetest.Config{Team: "others"})
	_, err := pool.Select(t.Context(), linux, mustNotWait(t))
	const want = `no workers satisfying: platform 'linux', version: '3.0'; there are none that the team "main" may use: ask who runs the server for one`
	if err == nil || err.Error() != want {
		t.Errorf("the error is %v, want %s", err, want)
	}
}

func TestPoolRefusesTwoOfOneName(t *testing.T) {
	same := runtimetest.NewWorker(runtimetest.Config{Name: "same"})
	if _, err := runtime.NewPool(t.Context(), runtime.PoolOptions{Workers: []runtime.Worker{same, same}}); err == nil {
		t.Error("it gave no error")
	}
}

func TestParseStrategies(t *testing.T) {
	strategies, err := runtime.ParseStrategies([]string{"volume-locality", "random"})
	if err != nil || !slices.Equal(strategies, []runtime.Strategy{runtime.VolumeLocality, runtime.Random}) {
		t.Errorf("it gave %v, %v", strategies, err)
	}
	if _, err := runtime.ParseStrategies([]string{"fastest"}); err == nil || !strings.Contains(err.Error(), "volume-locality") {
		t.Errorf("an unknown strategy gave %v", err)
	}
}

func TestPoolServesThoseFirstWhoWaitLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool, _ := newPool(t, nil, runtimetest.Config{Name: "only", MaxActiveTasks: 1})
		serve := pool.Hold()
		began := time.Now()
		var mu sync.Mutex
		var served []int
		for _, since := range []int{3, 1, 4, 2} {
			go func() {
				request := linux
				request.Since = began.Add(time.Duration(since) * time.Second)
				claim, err := pool.Select(t.Context(), request, func(string, int) {})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				served = append(served, since)
				mu.Unlock()
				claim.Release()
			}()
		}
		synctest.Wait()
		if len(served) > 0 {
			t.Errorf("%v were served while nobody was to be", served)
		}
		serve()
		synctest.Wait()
		if want := []int{1, 2, 3, 4}; !slices.Equal(served, want) {
			t.Errorf("they were served in the order %v, want %v", served, want)
		}
	})
}

// addContainers makes containers on a worker.
func addContainers(t *testing.T, worker runtime.Worker, n int) {
	t.Helper()
	for i := range n {
		_, err := worker.FindOrCreateContainer(t.Context(), runtime.ContainerSpec{
			Handle: fmt.Sprintf("container-%d", i), Dir: "/", Image: runtime.ImageSpec{Host: true},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestPoolStrategies(t *testing.T) {
	one, two, three := runtimetest.Config{Name: "one"}, runtimetest.Config{Name: "two"}, runtimetest.Config{Name: "three"}
	t.Run("volume-locality", func(t *testing.T) {
		pool, workers := newPool(t, []runtime.Strategy{runtime.VolumeLocality}, one, two, three)
		request := linux
		for i, worker := range []*runtimetest.Worker{workers[0], workers[1], workers[1]} {
			volume, err := worker.CreateVolume(t.Context(), fmt.Sprintf("volume-%d", i))
			if err != nil {
				t.Fatal(err)
			}
			request.Inputs = append(request.Inputs, volume)
		}
		if got := selectNow(t, pool, request).Name(); got != "two" {
			t.Errorf("it chose %s", got)
		}
		// Copies count as well.
		streamer := runtime.NewStreamer()
		for _, input := range request.Inputs {
			_, release, err := streamer.On(t.Context(), workers[2], input)
			if err != nil {
				t.Fatal(err)
			}
			release()
		}
		if got := selectNow(t, pool, request).Name(); got != "three" {
			t.Errorf("with copies on another worker it chose %s", got)
		}
	})
	t.Run("fewest-build-containers", func(t *testing.T) {
		pool, workers := newPool(t, []runtime.Strategy{runtime.FewestBuildContainers}, one, two, three)
		addContainers(t, workers[0], 3)
		addContainers(t, workers[1], 1)
		addContainers(t, workers[2], 2)
		if got := selectNow(t, pool, linux).Name(); got != "two" {
			t.Errorf("it chose %s", got)
		}
	})
	t.Run("limit-active-tasks", func(t *testing.T) {
		pool, workers := newPool(t, []runtime.Strategy{runtime.LimitActiveTasks}, one, two, three)
		addContainers(t, workers[2], 5)
		chosen := map[string]int{}
		for range 6 {
			chosen[selectNow(t, pool, linux).Name()]++
		}
		if chosen["one"] != 2 || chosen["two"] != 2 || chosen["three"] != 2 {
			t.Errorf("of 6 tasks the workers got %v", chosen)
		}
	})
	t.Run("random", func(t *testing.T) {
		pool, _ := newPool(t, []runtime.Strategy{runtime.Random}, one, two, three)
		chosen := map[string]bool{}
		for len(chosen) < 3 {
			chosen[selectNow(t, pool, linux).Name()] = true
		}
	})
	t.Run("chained", func(t *testing.T) {
		pool, workers := newPool(t, []runtime.Strategy{runtime.VolumeLocality, runtime.FewestBuildContainers}, one, two, three)
		request := linux
		for i, worker := range workers[:2] {
			volume, err := worker.CreateVolume(t.Context(), fmt.Sprintf("volume-%d", i))
			if err != nil {
				t.Fatal(err)
			}
			request.Inputs = append(request.Inputs, volume)
		}
		addContainers(t, workers[0], 2)
		addContainers(t, workers[1], 1)
		if got := selectNow(t, pool, request).Name(); got != "two" {
			t.Errorf("it chose %s", got)
		}
	})
}

// waiter selects a worker in the background, and keeps what it was told.
type waiter struct {
	reasons []string
	claim   *runtime.Claim
	err     error
}

func wait(ctx context.Context, pool *runtime.Pool, request runtime.WorkerRequest) *waiter {
	w := &waiter{}
	go func() {
		w.claim, w.err = pool.Select(ctx, request, func(reason string, ahead int) {
			w.reasons = append(w.reasons, fmt.Sprintf("%d before; %s", ahead, reason))
		})
	}()
	synctest.Wait()
	return w
}

func TestPoolQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool, _ := newPool(t, nil,
			runtimetest.Config{Name: "one", MaxActiveTasks: 1}, runtimetest.Config{Name: "two", MaxActiveTasks: 2},
			runtimetest.Config{Name: "mac", Platform: "darwin", MaxActiveTasks: 1})
		claims := []*runtime.Claim{selectNow(t, pool, linux), selectNow(t, pool, linux), selectNow(t, pool, linux)}
		first := wait(t.Context(), pool, linux)
		second := wait(t.Context(), pool, linux)
		third := wait(t.Context(), pool, linux)
		// Who waits for other workers is not in their way.
		selectNow(t, pool, runtime.WorkerRequest{Platform: "darwin"})
		const reason = "no worker is free: one runs 1 of 1 tasks, two runs 2 of 2 tasks"
		for i, w := range []*waiter{first, second, third} {
			if want := fmt.Sprintf("%d before; %s", i, reason); len(w.reasons) != 1 || w.reasons[0] != want {
				t.Errorf("who came as number %d was told %q, want %q", i, w.reasons, want)
			}
		}
		claims[1].Release()
		claims[1].Release()
		synctest.Wait()
		if first.claim == nil || first.claim.Name() != claims[1].Name() || second.claim != nil {
			t.Fatalf("the first has %v, the second %v", first.claim, second.claim)
		}
		if last := third.reasons[len(third.reasons)-1]; !strings.HasPrefix(last, "1 before; ") {
			t.Errorf("the third was told %q at last", last)
		}
		first.claim.Release()
		synctest.Wait()
		claims[0].Release()
		synctest.Wait()
		if second.claim == nil || third.claim == nil {
			t.Errorf("the second has %v, the third %v", second.claim, third.claim)
		}
	})
}

func TestPoolWaitingEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool, _ := newPool(t, nil, runtimetest.Config{MaxActiveTasks: 1})
		claim := selectNow(t, pool, linux)
		ctx, cancel := context.WithCancelCause(t.Context())
		first, second := wait(ctx, pool, linux), wait(t.Context(), pool, linux)
		aborted := errors.New("aborted")
		cancel(aborted)
		synctest.Wait()
		if first.err != aborted {
			t.Errorf("the first has error %v, want %v", first.err, aborted)
		}
		claim.Release()
		synctest.Wait()
		if second.claim == nil {
			t.Error("the second does not have the worker that the first no longer waits for")
		}
	})
}

func TestPoolLandAndPrune(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool, _ := newPool(t, nil, runtimetest.Config{Name: "one", MaxActiveTasks: 1}, runtimetest.Config{Name: "two", Tags: []string{"tag"}})
		state := func(want string) {
			t.Helper()
			if info, err := pool.Info(t.Context(), "one"); err != nil || info.State != want {
				t.Errorf("the state is %q (%v), want %q", info.State, err, want)
			}
		}
		claim := selectNow(t, pool, linux)
		state("running")
		if err := pool.Prune("one"); err == nil {
			t.Error("a running worker was pruned")
		}
		if err := pool.Land("one"); err != nil {
			t.Fatal(err)
		}
		state("landing")
		if err := pool.Prune("one"); err == nil {
			t.Error("a landing worker was pruned")
		}
		waiting := wait(t.Context(), pool, linux)
		if !slices.Equal(waiting.reasons, []string{"0 before; no worker is free: one is landing"}) {
			t.Errorf("who waits was told %q", waiting.reasons)
		}
		claim.Release()
		synctest.Wait()
		state("landed")
		if waiting.claim != nil {
			t.Error("a landed worker was given")
		}
		if err := pool.Prune("one"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var none *runtime.NoWorkerError
		if !errors.As(waiting.err, &none) {
			t.Errorf("who waited for a worker that is gone has error %v", waiting.err)
		}
		if names := names(pool.Workers()); names != "two" {
			t.Errorf("the workers are %s", names)
		}
		var notFound *runtime.NotFoundError
		_, infoErr := pool.Info(t.Context(), "one")
		_, claimErr := pool.Claim("one")
		for _, err := range []error{pool.Land("one"), pool.Prune("one"), infoErr, claimErr} {
			if !errors.As(err, &notFound) {
				t.Errorf("a worker that is gone gave %v", err)
			}
		}
	})
}

// TestPoolPruneGivesOthers has who waits for a worker of its team get one of all
// teams when that is gone.
func TestPoolPruneGivesOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool, _ := newPool(t, nil, runtimetest.Config{Name: "own", Team: "main", MaxActiveTasks: 1}, runtimetest.Config{Name: "shared"})
		claim := selectNow(t, pool, linux)
		waiting := wait(t.Context(), pool, linux)
		if err := pool.Land("own"); err != nil {
			t.Fatal(err)
		}
		claim.Release()
		if err := pool.Prune("own"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if waiting.claim == nil || waiting.claim.Name() != "shared" {
			t.Errorf("it has %v and error %v", waiting.claim, waiting.err)
		}
	})
}

func names(workers []runtime.Worker) string {
	var names []string
	for _, worker := range workers {
		names = append(names, worker.Name())
	}
	return strings.Join(names, " ")
}

// TestPoolClaim has a task that is on a worker already count, whatever the limit.
func TestPoolClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool, _ := newPool(t, nil, runtimetest.Config{Name: "one", MaxActiveTasks: 1})
		var claims []*runtime.Claim
		for range 2 {
			claim, err := pool.Claim("one")
			if err != nil {
				t.Fatal(err)
			}
			claims = append(claims, claim)
		}
		waiting := wait(t.Context(), pool, linux)
		claims[0].Release()
		synctest.Wait()
		if waiting.claim != nil {
			t.Error("a worker that is still full was given")
		}
		claims[1].Release()
		synctest.Wait()
		if waiting.claim == nil {
			t.Error("a worker that is free was not given")
		}
	})
}

// TestPoolUnderLoad has many select and release at once: no worker ever has more
// tasks than it takes, and all get one.
func TestPoolUnderLoad(t *testing.T) {
	pool, _ := newPool(t, nil, runtimetest.Config{Name: "one", MaxActiveTasks: 2}, runtimetest.Config{Name: "two", MaxActiveTasks: 3})
	limits := map[string]int{"one": 2, "two": 3}
	var mu sync.Mutex
	active := map[string]int{}
	count := func(name string, change int) {
		mu.Lock()
		defer mu.Unlock()
		active[name] += change
		if active[name] > limits[name] {
			t.Errorf("%s has %d tasks", name, active[name])
		}
	}
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			claim, err := pool.Select(ctx, linux, func(string, int) {
				if i%7 == 0 {
					cancel()
				}
			})
			if err != nil {
				if i%7 != 0 {
					t.Error(err)
				}
				return
			}
			count(claim.Name(), 1)
			count(claim.Name(), -1)
			claim.Release()
		})
	}
	all.Wait()
	for name := range limits {
		if err := pool.Land(name); err != nil {
			t.Fatal(err)
		}
		if err := pool.Prune(name); err != nil {
			t.Errorf("after all have released: %v", err)
		}
	}
}

func TestPoolLookupContainer(t *testing.T) {
	pool, workers := newPool(t, nil, runtimetest.Config{Name: "one"}, runtimetest.Config{Name: "two"})
	addContainers(t, workers[1], 1)
	worker, container, err := pool.LookupContainer(t.Context(), "container-0")
	if err != nil || worker.Name() != "two" || container.Handle() != "container-0" {
		t.Errorf("it gave %v, %v, %v", worker, container, err)
	}
	var notFound *runtime.NotFoundError
	if _, _, err := pool.LookupContainer(t.Context(), "nothing"); !errors.As(err, &notFound) {
		t.Errorf("a handle that no worker has gave %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := pool.LookupContainer(ctx, "container-0"); !errors.Is(err, context.Canceled) {
		t.Errorf("workers that cannot be asked gave %v", err)
	}
}
