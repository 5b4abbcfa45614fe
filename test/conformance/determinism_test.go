package conformance

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/blake2b"
	"golang.org/x/sync/errgroup"

	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/vm"
)

// VENUS_DETERMINISM_DIGEST names the file that a process started by
// TestDeterminism writes its digest to.
const digestEnv = "VENUS_DETERMINISM_DIGEST"

// TestDeterminism executes the recorded corpus again and again: its parts in
// shuffled order, on changing numbers of goroutines and processors, with Go's
// own shuffling of maps, and in two more processes. Every receipt, every state
// root, and every gas charge in its order must come out the same. A sample of
// the corpus, three times; all of it, 20 times, when VENUS_LONG_TESTS is set.
func TestDeterminism(t *testing.T) {
	rounds, every := 3, 11
	if os.Getenv("VENUS_LONG_TESTS") != "" {
		rounds, every = 20, 1
	}
	corpus := loadCorpus(t, every)
	if file := os.Getenv(digestEnv); file != "" {
		require.NoError(t, os.WriteFile(file, []byte(corpus.digest(t, rand.New(rand.NewPCG(1, 1)), 2)), 0o600))
		return
	}
	seed := rand.Uint64()
	t.Logf("seed %d, %d parts, %d rounds", seed, len(corpus.parts), rounds)
	rng := rand.New(rand.NewPCG(seed, 0))
	procs := goruntime.GOMAXPROCS(0)
	defer goruntime.GOMAXPROCS(procs)
	want := corpus.digest(t, rng, 1)
	for round := 1; round < rounds; round++ {
		goruntime.GOMAXPROCS(1 + rng.IntN(2*procs))
		require.Equal(t, want, corpus.digest(t, rng, 1+rng.IntN(8)), "round %d", round)
	}
	for process := range 2 {
		require.Equal(t, want, digestElsewhere(t, 1+process), "process %d", process)
	}
}

// digestElsewhere has another process execute the corpus.
func digestElsewhere(t *testing.T, procs int) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "digest")
	cmd := exec.Command(os.Args[0], "-test.run", "^TestDeterminism$", "-test.timeout", "30m")
	cmd.Env = append(os.Environ(), digestEnv+"="+file, "GOMAXPROCS="+strconv.Itoa(procs))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(got)
}

// corpus is everything recorded that runs on a machine of its own.
type corpus struct {
	net   params.Network
	parts []corpusPart
}

// corpusPart executes one recorded run and writes what came out to a hash.
type corpusPart func(net params.Network, h hash.Hash) error

// loadCorpus takes one of every so many parts.
func loadCorpus(t *testing.T, every int) *corpus {
	t.Helper()
	c := &corpus{net: network(t, "2k")}
	n := 0
	add := func(p corpusPart) {
		if n%every == 0 {
			c.parts = append(c.parts, p)
		}
		n++
	}
	for _, file := range vectors.Glob(t, "actors-v7/chain/*.json.gz") {
		v := new(chainVector)
		vectors.JSON(t, file, v)
		for i := range v.Segments {
			add(func(net params.Network, h hash.Hash) error { return hashSegment(net, h, v, i) })
		}
	}
	for _, file := range vectors.Glob(t, "actors-v7/message/*.json.gz") {
		var list []messageVector
		vectors.JSON(t, file, &list)
		for i := range list {
			add(func(net params.Network, h hash.Hash) error { return hashMessage(net, h, &list[i]) })
		}
	}
	require.NotEmpty(t, c.parts)
	return c
}

// digest executes the parts in a random order, some at a time, and hashes what
// came out in the order of the corpus.
func (c *corpus) digest(t *testing.T, rng *rand.Rand, atOnce int) string {
	t.Helper()
	sums := make([][]byte, len(c.parts))
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, i := range rng.Perm(len(c.parts)) {
		group.Go(func() error {
			h, err := blake2b.New256(nil)
			if err != nil {
				return err
			}
			if err := c.parts[i](c.net, h); err != nil {
				return fmt.Errorf("part %d: %w", i, err)
			}
			sums[i] = h.Sum(nil)
			return nil
		})
	}
	require.NoError(t, group.Wait())
	whole, err := blake2b.New256(nil)
	require.NoError(t, err)
	for _, s := range sums {
		whole.Write(s)
	}
	return hex.EncodeToString(whole.Sum(nil))
}

func hashSegment(net params.Network, h hash.Hash, v *chainVector, i int) error {
	seg := &v.Segments[i]
	bs, err := loadCar(seg.Car)
	if err != nil {
		return err
	}
	root, err := cid.Decode(seg.Start)
	if err != nil {
		return err
	}
	for j := range seg.Steps {
		s := &seg.Steps[j]
		if root, err = hashRun(h, s.config(net, bs, root, v), s.Msg); err != nil {
			return err
		}
	}
	return nil
}

func hashMessage(net params.Network, h hash.Hash, v *messageVector) error {
	bs, err := loadCar(v.Car)
	if err != nil {
		return err
	}
	_, err = hashRun(h, v.config(net, bs), v.Apply[0].Bytes)
	return err
}

// hashRun executes one message with all its gas charges traced and hashes the
// trace, what the call left in fees and penalties, and the new root.
func hashRun(h hash.Hash, cfg vm.Config, encoded []byte) (cid.Cid, error) {
	cfg.Trace, cfg.TraceGas = true, true
	msg, err := types.DecodeMessage(encoded)
	if err != nil {
		return cid.Undef, err
	}
	res, root, err := applyRecorded(context.Background(), cfg, msg)
	if err != nil {
		return cid.Undef, err
	}
	if res.Err != nil {
		// The text is no part of the chain, but operators compare it.
		fmt.Fprintln(h, res.Err)
		res.Err = nil
	}
	if err := json.NewEncoder(h).Encode(res); err != nil {
		return cid.Undef, err
	}
	_, err = h.Write(root.Bytes())
	return root, err
}
