package sealing

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"
)

const workers = 4

// plan is how much is done.
type plan struct {
	size    abi.SectorSize
	sectors int
	kills   int
	limit   time.Duration
}

// TestSealing seals on the sealer's own NATS and on a cluster of three that
// loses a server.
func TestSealing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("VENUS_SEALING_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("VENUS_SEALING_SEED=%d", seed)
	plans := []plan{{size: 2 << 10, sectors: 3, kills: 4, limit: 2 * time.Minute}}
	if os.Getenv("VENUS_SEALING") == "long" {
		plans = []plan{{size: 2 << 10, sectors: 60, kills: 40, limit: 30 * time.Minute}, {size: 8 << 20, sectors: 6, kills: 8, limit: 30 * time.Minute}}
	}
	for i, p := range plans {
		name := p.size.ShortString()
		t.Run("embedded/"+name, func(t *testing.T) { run(t, p, nil, rand.New(rand.NewPCG(seed, uint64(i)))) })
		if p.sectors == 3 { // the cluster takes a while to find a leader
			p.sectors, p.kills = 2, 3
		}
		t.Run("cluster/"+name, func(t *testing.T) { run(t, p, startCluster(t), rand.New(rand.NewPCG(seed, uint64(100+i)))) })
	}
}

func run(t *testing.T, p plan, c *cluster, rng *rand.Rand) {
	var urls []string
	if c != nil {
		urls = c.urls
	}
	w := newWorld(t, p.size, urls, true)
	ctx, cancel := context.WithTimeout(t.Context(), p.limit)
	defer cancel()
	var around sync.WaitGroup
	defer around.Wait()
	stop, end := context.WithCancel(ctx)
	defer end()
	around.Go(func() { w.live(stop) })
	team := newTeam(w, workers)
	for i := range team.places {
		team.put(i)
	}
	began := time.Now()
	pledged := w.pledge(p.sectors)
	around.Go(func() { team.killSome(stop, p.kills, rng) })
	if c != nil {
		victim, after := rng.IntN(3), time.Duration(rng.IntN(2000))*time.Millisecond
		around.Go(func() {
			w.begun(stop, p.sectors) // there are streams to lose
			pause(stop, after)
			c.kill(victim)
			if p.sectors > 10 { // long enough for it to come back, and for another to go
				pause(stop, 30*time.Second)
				c.back(victim)
				pause(stop, 30*time.Second)
				c.kill((victim + 1) % 3)
			}
		})
	}
	w.proven(ctx, p.sectors)
	took := time.Since(began)
	end()
	around.Wait()
	notes := team.read()
	w.check(pledged, notes)
	t.Logf("%d sectors of %s were sealed in %s by %d workers, %d of which were killed; %d replicas were made", p.sectors, p.size.ShortString(), took.Round(time.Second), workers, team.killed, len(notes))
}

// TestClusterLacksAServer makes the streams while one server of three is down, and
// seals on the other two.
func TestClusterLacksAServer(t *testing.T) {
	if os.Getenv("VENUS_SEALING") != "long" {
		t.Skip("half a minute of waiting for a cluster; VENUS_SEALING=long runs it")
	}
	c := startCluster(t)
	c.ready()
	c.kill(2)
	w := newWorld(t, 2<<10, c.urls, true)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var around sync.WaitGroup
	defer around.Wait()
	stop, end := context.WithCancel(ctx)
	defer end()
	around.Go(func() { w.live(stop) })
	team := newTeam(w, 1)
	team.put(0)
	pledged := w.pledge(1)
	w.proven(ctx, 1)
	end()
	w.check(pledged, team.read())
}

// team is a number of places, each with a worker that notes what it seals.
type team struct {
	*machines
	notes  string
	hired  int
	killed int
	places []*process
}

func newTeam(w *world, places int) *team {
	return &team{machines: newMachines(w), notes: filepath.Join(w.dir, "notes"), places: make([]*process, places)}
}

// put puts a new worker into a place.
func (m *team) put(i int) {
	m.hired++
	m.places[i] = m.hire(role{Name: fmt.Sprint("worker-", m.hired), Notes: m.notes})
}

// killSome ends workers at random moments and puts others in their place.
func (m *team) killSome(ctx context.Context, kills int, rng *rand.Rand) {
	for range kills {
		pause(ctx, time.Duration(300+rng.IntN(2500))*time.Millisecond)
		i := rng.IntN(len(m.places))
		if ctx.Err() != nil {
			return
		}
		m.places[i].kill()
		m.killed++
		pause(ctx, time.Duration(rng.IntN(1000))*time.Millisecond)
		m.put(i)
	}
}

func (m *team) read() (out []note) {
	b, err := os.ReadFile(m.notes)
	require.NoError(m.w.t, err)
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		var n note
		require.NoError(m.w.t, json.Unmarshal(s.Bytes(), &n), s.Text())
		out = append(out, n)
	}
	return out
}
