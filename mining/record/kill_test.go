package record

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/blake2b"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/mariadb"
	"github.com/filecoin-venus/venus/internal/sqldb"
	"github.com/filecoin-venus/venus/mining/guard"
	"github.com/filecoin-venus/venus/types"
)

// childEnv makes the test binary one life of a miner.
const childEnv = "VENUS_RECORD_TEST_CHILD"

// runsEnv is how many lives are ended by a kill; 10000 take a quarter of an hour.
const runsEnv = "VENUS_GUARD_RUNS"

// life is what a child is told. It mines until a failpoint kills it or it has tried often enough.
type life struct {
	DB     sqldb.Config
	Wallet string // the file that holds every signature that was ever given
	Seed   int64
}

// signature is a line of the wallet file.
type signature struct {
	guard.Proposal
	Block cid.Cid
}

const triesOfALife = 40

func childMain(spec string) {
	var l life
	if err := json.Unmarshal([]byte(spec), &l); err != nil {
		panic(err)
	}
	if err := l.live(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
}

func (l life) live(ctx context.Context) error {
	db, err := Open(ctx, l.DB)
	if err != nil {
		return err
	}
	defer db.Close()
	wallet, err := os.OpenFile(l.Wallet, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer wallet.Close()
	m, rng := db.Miner(one), rand.New(rand.NewSource(l.Seed))
	for try := range triesOfALife {
		if err := l.try(ctx, m, wallet, rng, try); err != nil {
			return err
		}
	}
	return nil
}

// try makes a proposal that likes to conflict with what is recorded, and signs it when it may.
func (l life) try(ctx context.Context, m *Miner, wallet *os.File, rng *rand.Rand, try int) error {
	last, err := m.Blocks(ctx, 4)
	if err != nil {
		return err
	}
	p := l.proposal(last, rng, try)
	v, _, err := m.Propose(ctx, p, 1, []byte("template"))
	if err != nil || !v.Allowed() {
		return err
	}
	if err := fault.Point("mining/sign"); err != nil {
		return err
	}
	// A block's CID is made of its bytes and its signature, the same each time.
	block := name("block " + p.Digest)
	line, err := json.Marshal(signature{p, block})
	if err != nil {
		return err
	}
	if _, err := wallet.Write(append(line, '\n')); err != nil {
		return err
	}
	if err := fault.Point("mining/signed"); err != nil {
		return err
	}
	if err := m.Signed(ctx, p.Epoch, block); err != nil {
		return err
	}
	if err := fault.Point("mining/submit"); err != nil {
		return err
	}
	return m.Outcome(ctx, p.Epoch, Submitted, "", false)
}

func (l life) proposal(last []Block, rng *rand.Rand, try int) guard.Proposal {
	top := abi.ChainEpoch(1)
	if len(last) > 0 {
		top = last[0].Epoch
	}
	if len(last) > 0 && rng.Intn(5) == 0 {
		e := last[rng.Intn(len(last))].Entry // these very bytes again
		return guard.Proposal{Epoch: e.Epoch, Parents: e.Parents, ParentEpoch: e.ParentEpoch, Grandparents: e.Grandparents, Digest: e.Digest}
	}
	epoch := max(2, top+abi.ChainEpoch(rng.Intn(4)-1))
	base := epoch - 1 - abi.ChainEpoch(rng.Intn(2))
	stranger := func(h abi.ChainEpoch) cid.Cid { return name(fmt.Sprint("stranger ", h, rng.Intn(2))) }
	parents, grand := []cid.Cid{stranger(base)}, types.NewTipSetKey(stranger(base-1))
	for _, b := range last {
		if b.Epoch != base {
			continue
		}
		if rng.Intn(2) == 0 { // beside the own block
			grand = b.Parents
		}
		if rng.Intn(3) == 0 && b.Block.Defined() {
			parents = append(parents, b.Block)
		}
	}
	sum := blake2b.Sum256(fmt.Append(nil, l.Seed, try))
	return guard.Proposal{Epoch: epoch, Parents: types.NewTipSetKey(parents...), ParentEpoch: base, Grandparents: grand, Digest: hex.EncodeToString(sum[:])}
}

// faults reads a wallet and tells every consensus fault that its signatures prove, by the definitions of the miner actor.
func faults(t *testing.T, wallet string) (found []string, signed int) {
	t.Helper()
	f, err := os.Open(wallet)
	if errors.Is(err, os.ErrNotExist) {
		return nil, 0
	}
	require.NoError(t, err)
	defer f.Close()
	byEpoch, byParents := map[abi.ChainEpoch]signature{}, map[types.TipSetKey]signature{}
	for s := bufio.NewScanner(f); s.Scan(); {
		var n signature
		require.NoError(t, json.Unmarshal(s.Bytes(), &n))
		if o, ok := byEpoch[n.Epoch]; ok && o.Digest != n.Digest {
			found = append(found, fmt.Sprintf("two blocks of epoch %d", n.Epoch))
		}
		if o, ok := byParents[n.Parents]; ok && o.Digest != n.Digest {
			found = append(found, fmt.Sprintf("epochs %d and %d have the same parents", n.Epoch, o.Epoch))
		}
		byEpoch[n.Epoch], byParents[n.Parents] = n, n
	}
	for _, n := range byEpoch {
		if o, ok := byEpoch[n.ParentEpoch]; ok && o.Parents == n.Grandparents && !slices.Contains(n.Parents.Cids(), o.Block) {
			found = append(found, fmt.Sprintf("epoch %d leaves out the own block of epoch %d", n.Epoch, o.Epoch))
		}
	}
	return found, len(byEpoch)
}

// begin starts a life that a random failpoint ends.
func (l life) begin(t *testing.T, rng *rand.Rand) *exec.Cmd {
	t.Helper()
	spec, err := json.Marshal(l)
	require.NoError(t, err)
	points := []string{"mining/propose", "mining/record", "mining/recorded", "mining/sign", "mining/signed", "mining/submit"}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(spec), fmt.Sprintf("VENUS_FAILPOINT=%s=kill:%d", points[rng.Intn(len(points))], 1+rng.Intn(5)))
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	return cmd
}

// killed tells whether a life was ended by its failpoint; it may not end in any other way than that or by itself.
func killed(t *testing.T, cmd *exec.Cmd, mayFail bool) bool {
	t.Helper()
	err := cmd.Wait()
	if err == nil {
		return false
	}
	var e *exec.ExitError
	require.ErrorAs(t, err, &e)
	if s, ok := e.Sys().(syscall.WaitStatus); ok && s.Signaled() && s.Signal() == syscall.SIGKILL {
		return true
	}
	require.True(t, mayFail, "a life ended with %v", err)
	return false
}

// Lives of a miner, each killed at a random durable step, two at once on one MariaDB whose server is killed too now and
// then: no two signatures ever prove a fault.
func TestKilledOverAndOver(t *testing.T) {
	runs := 60
	if n, err := strconv.Atoi(os.Getenv(runsEnv)); err == nil {
		runs = n
	}
	seed := int64(runs) + 20261130
	t.Logf("seed %d, %d runs on each database", seed, runs/2)
	dir := t.TempDir()

	t.Run("sqlite", func(t *testing.T) {
		rng := rand.New(rand.NewSource(seed))
		wallet, kills := filepath.Join(dir, "sqlite"), 0
		for i := 0; i < runs/2; i++ {
			l := life{DB: sqldb.Config{Path: filepath.Join(dir, "r.db"), NoSync: i%50 != 0}, Wallet: wallet, Seed: seed + int64(i)}
			if killed(t, l.begin(t, rng), false) {
				kills++
			}
		}
		report(t, wallet, runs/2, kills)
	})
	t.Run("two on one mariadb", func(t *testing.T) {
		rng := rand.New(rand.NewSource(seed + 1))
		server := mariadb.Start(t)
		cfg := sqldb.Config{Type: sqldb.MySQL, DSN: server.Database(t)}
		wallet, kills := filepath.Join(dir, "mariadb"), 0
		for i := 0; i < runs/2; i += 2 {
			a := life{DB: cfg, Wallet: wallet, Seed: -seed - int64(i)}
			b := life{DB: cfg, Wallet: wallet, Seed: -seed - int64(i) - 1}
			first, second := a.begin(t, rng), b.begin(t, rng)
			crash := i%100 == 20
			if crash {
				server.Kill()
			}
			for _, cmd := range []*exec.Cmd{first, second} {
				if killed(t, cmd, crash) {
					kills++
				}
			}
			if crash {
				server.Restart(t)
			}
		}
		report(t, wallet, runs/2, kills)
	})
}

func report(t *testing.T, wallet string, runs, kills int) {
	t.Helper()
	found, signed := faults(t, wallet)
	t.Logf("%d lives, %d killed, %d epochs signed, faults: %v", runs, kills, signed, found)
	require.Empty(t, found)
	require.Greater(t, kills, runs/2, "the kills must come")
	require.Greater(t, signed, runs/2, "the lives must mine")
}

// The judge of the lives is not blind: each fault is found in a wallet that proves it.
func TestFaultsAreSeen(t *testing.T) {
	own := prop(10, "a", 9, key("p9"), key("p8"))
	for want, second := range map[string]guard.Proposal{
		"two blocks of epoch": prop(10, "b", 9, key("q"), key("r")), "same parents": prop(11, "b", 9, key("p9"), key("p8")), "leaves out": prop(11, "b", 10, key("B"), key("p9")),
	} {
		wallet := filepath.Join(t.TempDir(), "w")
		var lines []byte
		for _, s := range []signature{{own, name("A")}, {own, name("A")}, {second, name("C")}} {
			line, err := json.Marshal(s)
			require.NoError(t, err)
			lines = append(append(lines, line...), '\n')
		}
		require.NoError(t, os.WriteFile(wallet, lines, 0o600))
		found, _ := faults(t, wallet)
		require.Len(t, found, 1)
		require.Contains(t, found[0], want)
	}
}
