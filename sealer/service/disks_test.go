package service

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/prove"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/proofs/verify"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/heads"
	"github.com/filecoin-venus/venus/sealer/messages"
	"github.com/filecoin-venus/venus/sealer/sealertest"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/sealer/spread"
	"github.com/filecoin-venus/venus/sealer/store"
	"github.com/filecoin-venus/venus/sealer/wdpost"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/worker"
)

// ticketOf is the ticket that sealHere binds a sector to.
func ticketOf(n abi.SectorNumber) abi.SealRandomness { return append(make([]byte, 31), byte(n)) }

// sealHere seals a 2 KiB sector for real, and finalizes it.
func sealHere(t testing.TB, root string, n abi.SectorNumber) cid.Cid {
	c, err := sealertest.Seal(context.Background(), root, n, ticketOf(n))
	require.NoError(t, err)
	return c
}

// sickDisk is the machine's disk with files that hang or fail.
type sickDisk struct {
	store.Disk
	mu   sync.Mutex
	sick func(name string) error // may hang
}

func (d *sickDisk) Open(name string) (store.File, error) {
	f, err := d.Disk.Open(name)
	if err != nil {
		return nil, err
	}
	return sickFile{f, d, name}, nil
}

type sickFile struct {
	store.File
	d    *sickDisk
	name string
}

func (f sickFile) ReadAt(b []byte, at int64) (int, error) {
	f.d.mu.Lock()
	sick := f.d.sick
	f.d.mu.Unlock()
	if sick != nil {
		if err := sick(f.name); err != nil {
			return 0, err
		}
	}
	return f.File.ReadAt(b, at)
}

// farm is a miner with sectors on three disks, proving for real.
type farm struct {
	t      *testing.T
	dir    string
	disk   *sickDisk
	store  *store.Store
	chain  *sealertest.Chain
	net    params.Network
	prover *fileProver
	alerts []string
	stop   func()
}

// Twelve sectors: disk of each, and what becomes of it.
var farmDisks = []string{"a", "a", "a", "a", "a", "a", "nfs", "a", "b", "a", "a", "a"}

func newFarm(t *testing.T, dir string, commR []cid.Cid) *farm {
	f := &farm{t: t, dir: dir, disk: &sickDisk{Disk: store.Machine()}}
	var err error
	f.net, err = params.ByName("local")
	require.NoError(t, err)
	f.store, err = store.OpenWith(filepath.Join(dir, "storage.json"), store.Options{Disk: f.disk, Timeout: 3 * time.Second})
	require.NoError(t, err)
	f.chain = sealertest.NewChain(f.net, 3, time.Now())
	f.chain.AnyWindow = true // the shell has each proof verified for real before it is sent
	for n, c := range commR {
		f.chain.AddSealed(abi.SectorNumber(n), uint64(2+n/4), uint64(n/2%2), c)
	}
	s, refused := worker.NewSealer(f.net, worker.Options{Proofs: prove.Trapdoor, Open: f.store.OpenFile})
	require.NoError(t, refused)
	f.prover = &fileProver{
		miner: sealertest.MinerID, store: f.store, sealer: s, clk: clock.Real(), timeout: 10 * time.Second, parallel: 4,
		reserve: func(sector.TaskKind, abi.RegisteredSealProof) func() { return func() {} },
	}
	ctx, cancel := context.WithCancel(context.Background())
	d, err := db.Open(ctx, db.Config{Path: filepath.Join(dir, "sealer.db")})
	require.NoError(t, err)
	h := heads.New(f.chain, clock.Real())
	sender := messages.New(messages.Config{Miner: sealertest.Miner(), Wallet: "w", Confidence: 1}, f.chain.Messager(), f.chain)
	var mu sync.Mutex
	shell, err := wdpost.New(ctx, wdpost.Settings{
		Config: wdpost.Config{Miner: sealertest.MinerID, StuckAfter: 6, CheckLead: 40, Keep: 10}, Miner: sealertest.Miner(), MaxPartitions: 1, BlockDelay: f.net.BlockDelay,
	}, wdpost.Parts{
		Chain: f.chain, Messages: sender, Prover: spread.New(spread.Config{Miner: sealertest.MinerID, Mode: spread.Local}, spread.Parts{Here: f.prover, Clock: clock.Real()}), Verifier: verify.New(f.net, ""), Store: d, Heads: h, Clock: clock.Real(),
		Alert: func(a wdpost.Alert) {
			mu.Lock()
			defer mu.Unlock()
			f.alerts = append(f.alerts, a.Text)
		},
	})
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() { shell.Run(ctx) })
	wg.Go(func() { h.Run(ctx) })
	wg.Go(func() { f.store.Watch(ctx, 10*time.Second, nil) })
	f.stop = func() {
		cancel()
		wg.Wait()
		require.NoError(t, d.Close())
		require.NoError(t, s.Close())
	}
	return f
}

func (f *farm) tick(n int) {
	for range n {
		_ = clock.Real().Sleep(context.Background(), f.net.BlockDelay)
		f.chain.Tick(time.Now())
		synctest.Wait()
	}
}

func (f *farm) places(n abi.SectorNumber) seal.Paths {
	return seal.PathsIn(filepath.Join(f.dir, farmDisks[n]), abi.SectorID{Miner: sealertest.MinerID, Number: n})
}

// faulty lists what the chain counts as faulty.
func (f *farm) faulty() []uint64 {
	var out []uint64
	for deadline := range uint64(5) {
		parts, err := f.chain.StateMinerPartitions(f.t.Context(), sealertest.Miner(), deadline, types.EmptyTSK)
		require.NoError(f.t, err)
		for _, p := range parts {
			list, err := p.FaultySectors.All(100)
			require.NoError(f.t, err)
			out = append(out, list...)
		}
	}
	slices.Sort(out)
	return out
}

// files is everything below the farm's disks.
func (f *farm) files() map[string]string {
	out := map[string]string{}
	for _, disk := range []string{"a", "b", "nfs"} {
		err := filepath.WalkDir(filepath.Join(f.dir, disk), func(name string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || e.IsDir() {
				return err
			}
			b, err := os.ReadFile(name)
			out[name] = string(b)
			return err
		})
		require.NoError(f.t, err)
	}
	return out
}

// TestDisksFail proves twelve real sectors on three disks while eight of them are
// damaged, each in another way: exactly those are left out and counted faulty, all
// others are proven in time, nothing on the disks changes, and when the damage is
// mended all are declared recovered and proven.
func TestDisksFail(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "disks")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	st, err := store.Open(filepath.Join(dir, "storage.json"))
	require.NoError(t, err)
	for _, disk := range []string{"a", "b", "nfs"} {
		_, err := st.Attach(store.Spec{Dir: filepath.Join(dir, disk), Init: true, CanStore: true})
		require.NoError(t, err)
	}
	var commR []cid.Cid
	for n, disk := range farmDisks {
		commR = append(commR, sealHere(t, filepath.Join(dir, disk), abi.SectorNumber(n)))
	}
	for _, stray := range []string{"sealed/lost+found", "cache/.nfs0001", "unsealed/notes.txt"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "a", stray), []byte("mine"), 0o644))
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dir, commR)
		defer func() { f.stop() }()
		f.tick(120)
		require.Empty(t, f.faulty())
		require.Equal(t, 12, f.chain.Active())

		good := f.files()
		release := f.damage()
		defer release()
		bad := f.files()
		f.tick(960)
		require.Equal(t, []uint64{2, 3, 4, 5, 6, 7, 8, 9}, f.faulty())
		require.Equal(t, 4, f.chain.Active())
		require.Equal(t, bad, f.files(), "nothing is changed or deleted")
		require.Contains(t, strings.Join(f.store.Problems(), "\n"), "lost+found")
		proofs := len(f.chain.Messager().Pushed(builtin.MethodsMiner.SubmitWindowedPoSt))
		require.Positive(t, proofs)

		require.NoError(t, os.Rename(filepath.Join(dir, "b.unmounted"), filepath.Join(dir, "b")))
		release()
		for name, b := range good {
			require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
			require.NoError(t, os.WriteFile(name, []byte(b), 0o644))
		}
		f.store.Look()
		f.tick(2 * 960)
		require.Empty(t, f.faulty())
		require.Equal(t, 12, f.chain.Active(), "all are declared recovered and proven again")
	})
}

// damage breaks sectors 2 to 9; release ends what hangs and fails.
func (f *farm) damage() (release func()) {
	change := func(name string, how func([]byte) []byte) {
		b, err := os.ReadFile(name)
		require.NoError(f.t, err)
		require.NoError(f.t, os.WriteFile(name, how(b), 0o644))
	}
	// One bit in each node: whichever leaves are asked for, one is among them.
	flip := func(b []byte) []byte {
		for i := 0; i < len(b); i += 32 {
			b[i] ^= 1
		}
		return b
	}
	change(f.places(2).Sealed, flip)
	change(filepath.Join(f.places(3).Cache, "sc-02-data-tree-r-last.dat"), flip)
	change(filepath.Join(f.places(4).Cache, "p_aux"), flip)
	require.NoError(f.t, os.RemoveAll(f.places(5).Cache))
	hang := make(chan struct{})
	f.disk.mu.Lock()
	f.disk.sick = func(name string) error {
		switch {
		case strings.Contains(name, "/nfs/"):
			<-hang
		case name == f.places(7).Sealed:
			return syscall.EIO
		}
		return nil
	}
	f.disk.mu.Unlock()
	require.NoError(f.t, os.Rename(filepath.Join(f.dir, "b"), filepath.Join(f.dir, "b.unmounted")))
	change(f.places(9).Sealed, func(b []byte) []byte { return b[:100] })
	var err error
	if f.store.Look() {
		_, err = f.store.Find(abi.SectorID{Miner: sealertest.MinerID, Number: 8}, store.Sealed)
	}
	require.ErrorIs(f.t, err, store.ErrAbsent)
	return sync.OnceFunc(func() {
		f.disk.mu.Lock()
		f.disk.sick = nil
		f.disk.mu.Unlock()
		close(hang)
	})
}

// TestHangingFiles proves what can be proven when the opening of one sector's file never returns, as on a network file
// system whose server is gone.
func TestHangingFiles(t *testing.T) {
	dir := t.TempDir()
	st, err := store.OpenWith(filepath.Join(dir, "storage.json"), store.Options{Timeout: 300 * time.Millisecond})
	require.NoError(t, err)
	_, err = st.Attach(store.Spec{Dir: filepath.Join(dir, "a"), Init: true, CanStore: true})
	require.NoError(t, err)
	var list []proof.SectorInfo
	for n := range abi.SectorNumber(3) {
		list = append(list, proof.SectorInfo{SealProof: abi.RegisteredSealProof_StackedDrg2KiBV1_1, SectorNumber: n, SealedCID: sealHere(t, filepath.Join(dir, "a"), n)})
	}
	hung := seal.PathsIn(filepath.Join(dir, "a"), abi.SectorID{Miner: sealertest.MinerID, Number: 1}).Sealed
	require.NoError(t, os.Remove(hung))
	require.NoError(t, syscall.Mkfifo(hung, 0o600))
	t.Cleanup(func() { // lets the opening that hangs end
		f, err := os.OpenFile(hung, os.O_RDWR, 0)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	})
	_, err = st.Attach(store.Spec{Dir: filepath.Join(dir, "a")})
	require.NoError(t, err)
	net, err := params.ByName("local")
	require.NoError(t, err)
	s, refused := worker.NewSealer(net, worker.Options{Proofs: prove.Trapdoor, Open: st.OpenFile, SectorTimeout: time.Minute})
	require.NoError(t, refused)
	defer s.Close()
	p := &fileProver{
		miner: sealertest.MinerID, store: st, sealer: s, clk: clock.Real(), timeout: time.Minute, parallel: 4,
		reserve: func(sector.TaskKind, abi.RegisteredSealProof) func() { return func() {} },
	}
	r := make(abi.PoStRandomness, 32)
	proofs, faulty, err := p.WindowPoStFrom(t.Context(), 0, list, r)
	require.NoError(t, err)
	require.Equal(t, []abi.SectorNumber{1}, faulty)
	stand := []proof.SectorInfo{list[0], list[0], list[2]} // as the actor has it: the first good one stands in
	ok, err := verify.New(net, t.TempDir()).VerifyWindowPoSt(t.Context(), proof.WindowPoStVerifyInfo{Randomness: r, Proofs: proofs, ChallengedSectors: stand, Prover: sealertest.MinerID})
	require.NoError(t, err)
	require.True(t, ok, "the proof that left it out is the proof of the statement without it")
	bad, err := p.Check(t.Context(), list)
	require.NoError(t, err)
	require.Len(t, bad, 1)
	require.Contains(t, bad[1], "the disk does not answer since", "it is not waited for twice")
	_, err = p.WinningPoSt(t.Context(), list[1:2], r)
	require.ErrorIs(t, err, store.ErrSlow)
	_, err = p.WinningPoSt(t.Context(), list[2:], r)
	require.NoError(t, err)
}
