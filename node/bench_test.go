package node

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/filecoin-venus/venus/internal/memory"
	"github.com/filecoin-venus/venus/internal/procs"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/types"
)

// BenchmarkCatchUp is a fresh node that fetches and judges the chain of one
// peer over loopback, proofs, signatures and states included: a chain without
// messages, and one of which one tipset in 20 carries 200 payments. The figure is
// epochs/s. The chains have 600 tipsets, or as many as VENUS_CATCHUP says; to make 20,000 takes half an hour, so that they stay in the
// folder that VENUS_CATCHUP_DIR names, if it does, for the next run.
func BenchmarkCatchUp(b *testing.B) {
	b.Run("empty", func(b *testing.B) { catchUp(b, 0) })
	b.Run("payments", func(b *testing.B) { catchUp(b, 200) })
}

func catchUp(b *testing.B, payments int) {
	memory.Relax()
	procs.More()
	tipsets := 600
	if text := os.Getenv("VENUS_CATCHUP"); text != "" {
		var err error
		tipsets, err = strconv.Atoi(text)
		require.NoError(b, err)
	}
	w, repo := keptWorld(b, int64(2*tipsets))
	defer w.close()
	a := w.start(b, filepath.Join(repo, strconv.Itoa(payments)), func(o *Options) { o.GenesisFile = w.layout.Genesis() })
	a.lengthen(b, tipsets, payments)
	head := a.head(b)
	info, err := a.v1.NetAddrsListen(b.Context())
	require.NoError(b, err)
	epochs := 0
	busy := time.Duration(0)
	for b.Loop() {
		b.StopTimer()
		fresh := w.first(b, nil)
		before := processorTime(b)
		b.StartTimer()
		require.NoError(b, fresh.v1.NetConnect(b.Context(), info))
		level := func() bool { return fresh.head(b).Key() == head.Key() }
		require.Eventually(b, level, 10*time.Minute, 20*time.Millisecond)
		epochs += int(head.Height())
		busy += processorTime(b) - before
	}
	b.ReportMetric(float64(busy.Microseconds())/float64(epochs), "cpu-µs/epoch")
	b.ReportMetric(float64(epochs)/b.Elapsed().Seconds(), "epochs/s")
}

// keptWorld is a network for chains that may become so old, in seconds, and the folder of the nodes that make them: that of an
// earlier run, where one is kept.
func keptWorld(b *testing.B, past int64) (*world, string) {
	b.Helper()
	dir := os.Getenv("VENUS_CATCHUP_DIR")
	if dir == "" {
		w, err := newWorld(b.Context(), past)
		require.NoError(b, err)
		return w, b.TempDir()
	}
	var made struct {
		Genesis int64
		Beacon  string
	}
	note := filepath.Join(dir, "world.json")
	raw, err := os.ReadFile(note)
	if err == nil {
		require.NoError(b, json.Unmarshal(raw, &made))
		w, err := newWorldAt(b.Context(), made.Genesis, made.Beacon)
		require.NoError(b, err)
		return w, dir
	}
	require.ErrorIs(b, err, os.ErrNotExist)
	w, err := newWorld(b.Context(), past)
	require.NoError(b, err)
	made.Genesis, made.Beacon = w.genesis, w.beacon.Listener.Addr().String()
	raw, err = json.Marshal(made)
	require.NoError(b, err)
	require.NoError(b, os.MkdirAll(dir, 0o700))
	require.NoError(b, os.WriteFile(note, raw, 0o600))
	return w, dir
}

// lengthen mines until the chain has so many tipsets beside its genesis, with window proofs and now and then payments.
func (r *running) lengthen(b *testing.B, tipsets, payments int) {
	b.Helper()
	nonce, err := r.v1.MpoolGetNonce(b.Context(), r.w.faucet.addr)
	require.NoError(b, err)
	has := 0
	for ts := r.head(b); ts.Height() > 0; has++ {
		ts, err = r.v1.ChainGetTipSet(b.Context(), ts.Parents())
		require.NoError(b, err)
	}
	proven := abi.ChainEpoch(-1)
	for i := has; i < tipsets; i++ {
		if i%20 == 10 {
			for range payments {
				_, err := r.v1.MpoolPush(b.Context(), r.w.faucet.transfer(b, r.w.worker.addr, nonce, 1))
				require.NoError(b, err)
				nonce++
			}
		}
		proven = r.proveWindow(b, proven)
		r.mine(b, 1)
	}
}

// proveWindow pushes the window proofs of the open deadline, unless it is the one that began at proven, and returns when it
// began: without proofs the network is without power after a day of its own.
func (r *running) proveWindow(t testing.TB, proven abi.ChainEpoch) abi.ChainEpoch {
	t.Helper()
	ctx, w, head := t.Context(), r.w, r.head(t)
	d, err := r.v1.StateMinerProvingDeadline(ctx, w.miner, head.Key())
	require.NoError(t, err)
	if d.Open == proven || d.CurrentEpoch <= d.Open { // a proof commits to a tipset before its own, in its deadline
		return proven
	}
	partitions, err := r.v1.StateMinerPartitions(ctx, w.miner, d.Index, head.Key())
	require.NoError(t, err)
	var entropy bytes.Buffer
	require.NoError(t, w.miner.MarshalCBOR(&entropy))
	seed, err := r.v1.StateGetRandomnessFromBeacon(ctx, gscrypto.DomainSeparationTag_WindowedPoStChallengeSeed, d.Challenge, entropy.Bytes(), head.Key())
	require.NoError(t, err)
	commit, err := r.v1.StateGetRandomnessFromTickets(ctx, gscrypto.DomainSeparationTag_PoStChainCommit, d.Open, nil, head.Key())
	require.NoError(t, err)
	for i, part := range partitions {
		sectors, err := r.v1.StateMinerSectors(ctx, w.miner, &part.LiveSectors, head.Key())
		require.NoError(t, err)
		if len(sectors) == 0 {
			continue
		}
		var refs []seal.SectorRef
		for _, s := range sectors {
			id := abi.SectorID{Miner: 1000, Number: s.SectorNumber}
			refs = append(refs, seal.SectorRef{Sector: seal.Sector{ID: id, Proof: s.SealProof}, SealedCID: s.SealedCID, Paths: seal.PathsIn(w.layout.MinerDir(w.miner), id)})
		}
		proofs, faulty, err := w.sealer.WindowPoSt(ctx, 1000, refs, abi.PoStRandomness(seed))
		require.NoError(t, err)
		require.Empty(t, faulty)
		var raw bytes.Buffer
		require.NoError(t, (&miner.SubmitWindowedPoStParams{
			Deadline: d.Index, Partitions: []miner.PoStPartition{{Index: uint64(i), Skipped: bitfield.New()}}, Proofs: proofs, ChainCommitEpoch: d.Open, ChainCommitRand: abi.Randomness(commit),
		}).MarshalCBOR(&raw))
		nonce, err := r.v1.MpoolGetNonce(ctx, w.worker.addr)
		require.NoError(t, err)
		_, err = r.v1.MpoolPush(ctx, w.worker.signMessage(t, types.Message{
			From: w.worker.addr, To: w.miner, Nonce: nonce, Value: big.Zero(), GasLimit: 200_000_000, Method: builtin.MethodsMiner.SubmitWindowedPoSt, Params: raw.Bytes(),
			GasFeeCap: big.NewInt(2 * params.InitialBaseFee), GasPremium: big.NewInt(params.InitialBaseFee / 1000),
		}))
		require.NoError(t, err)
	}
	return d.Open
}

// BenchmarkSubscribers is a new head with 1,000 WebSocket connections that want
// to know: the time from the block's coming until the last of them has it.
func BenchmarkSubscribers(b *testing.B) {
	const subscribers = 1000
	w, err := newWorld(b.Context(), past)
	require.NoError(b, err)
	defer w.close()
	n := w.first(b, alone)
	token, err := os.ReadFile(filepath.Join(n.repo, "token"))
	require.NoError(b, err)
	url := "ws" + strings.TrimPrefix(n.http, "http") + "/rpc/v1"
	header := http.Header{"Authorization": {"Bearer " + strings.TrimSpace(string(token))}}
	heads := make(chan types.TipSetKey, subscribers)
	before := heapInUse()
	for range subscribers {
		c, _, err := websocket.DefaultDialer.DialContext(b.Context(), url, header)
		require.NoError(b, err)
		b.Cleanup(func() { c.Close() })
		require.NoError(b, c.WriteMessage(websocket.TextMessage, []byte(`{"jsonrpc":"2.0","id":1,"method":"Filecoin.ChainNotify","params":[]}`)))
		go tell(c, heads)
	}
	all := func() {
		for range subscribers {
			<-heads
		}
	}
	all() // each is told the present head
	memory := heapInUse() - before
	b.ResetTimer()
	for b.Loop() {
		b.StopTimer()
		base := n.head(b)
		block := n.block(b, base, base.Height()+1)
		b.StartTimer()
		require.NoError(b, n.v1.SyncSubmitBlock(b.Context(), block))
		all()
	}
	b.ReportMetric(float64(memory)/subscribers, "bytes/subscriber")
}

// tell passes on every head that a subscription tells of, until it ends.
func tell(c *websocket.Conn, heads chan<- types.TipSetKey) {
	for {
		_, raw, err := c.ReadMessage()
		if err != nil {
			return
		}
		var note struct {
			Method string
			Params []json.RawMessage
		}
		var changes []struct{ Val *types.TipSet }
		if json.Unmarshal(raw, &note) != nil || note.Method != "xrpc.ch.val" || json.Unmarshal(note.Params[1], &changes) != nil {
			continue
		}
		heads <- changes[len(changes)-1].Val.Key()
	}
}

// heapInUse is what lives on the heap, in bytes.
func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// processorTime is what this process has used of the processors, both peers of a catch-up included.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	require.NoError(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
