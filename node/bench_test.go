package node

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/filecoin-venus/venus/internal/memory"
	"github.com/filecoin-venus/venus/internal/procs"
	"github.com/filecoin-venus/venus/types"
)

// BenchmarkCatchUp is a fresh node that fetches and judges the chain of one
// peer over loopback, proofs, signatures and states included: a chain without
// messages, and one of which one tipset in 20 carries 200 payments. The figure is
// epochs/s. The chains have 600 tipsets, or as many as VENUS_CATCHUP says.
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
	w, err := newWorld(b.Context(), int64(2*tipsets))
	require.NoError(b, err)
	defer w.close()
	a := w.first(b, nil)
	nonce := uint64(0)
	for i := range tipsets {
		if i%20 == 10 {
			for range payments {
				_, err := a.v1.MpoolPush(b.Context(), w.faucet.transfer(b, w.worker.addr, nonce, 1))
				require.NoError(b, err)
				nonce++
			}
		}
		a.mine(b, 1)
	}
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
