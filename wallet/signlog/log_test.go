package signlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
)

func simClock() clock.Clock { return clock.NewSim(time.Unix(1_600_000_000, 0)) }

func openLog(t *testing.T, dir string, limit int64) *Log {
	t.Helper()
	l, err := open(dir, simClock(), limit)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func block(h int, digest string) Record {
	return Record{Decision: Signed, Signer: "aa", Type: "block", Block: &Block{Miner: "00e807", Height: abi.ChainEpoch(h), Digest: digest}}
}

func TestOneBlockAHeight(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, segmentSize)
	require.NoError(t, l.Append(block(5, "x")))
	require.NoError(t, l.Append(block(5, "x")), "the same block again")
	var double *DoubleBlockError
	require.ErrorAs(t, l.Append(block(5, "y")), &double)
	require.NoError(t, l.Append(block(4, "y")), "another height")
	other := block(5, "y")
	other.Signer = "bb"
	require.NoError(t, l.Append(other), "another key: another network or another worker")
	require.NoError(t, l.Close())

	l = openLog(t, dir, segmentSize)
	require.ErrorAs(t, l.Append(block(5, "y")), &double)
	require.NoError(t, l.Append(block(5, "x")))
}

func TestMemoryIsCarriedAcrossSegments(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, 2000)
	for h := range 100 {
		require.NoError(t, l.Append(block(h, fmt.Sprint("d", h))))
	}
	require.NoError(t, l.Close())
	segments, err := listSegments(dir)
	require.NoError(t, err)
	require.Greater(t, len(segments), 3)
	l = openLog(t, dir, 2000)
	for h := range 100 {
		require.Error(t, l.Append(block(h, "other")), "height %d", h)
	}
	n, err := Verify(dir)
	require.NoError(t, err)
	require.EqualValues(t, 100+len(segments), n)
}

func TestForgottenHeightsAreRefused(t *testing.T) {
	g := guard{}
	for h := range remembered + 10 {
		require.NoError(t, g.reserve("aa", Block{Miner: "m", Height: abi.ChainEpoch(h + 100), Digest: "d"}))
	}
	var double *DoubleBlockError
	require.ErrorAs(t, g.reserve("aa", Block{Miner: "m", Height: 105, Digest: "d"}), &double)
	require.True(t, double.Below)
	again := guard{}
	again.load(g.carry())
	require.Equal(t, g, again)
}

// The guard against a map that never forgets.
func TestGuardAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, model := guard{}, map[string]string{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			signer := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "signer")
			b := Block{
				Miner: rapid.SampledFrom([]string{"m", "n"}).Draw(t, "miner"), Height: abi.ChainEpoch(rapid.IntRange(0, 5).Draw(t, "height")),
				Digest: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "digest"),
			}
			key := fmt.Sprint(signer, b.Miner, b.Height)
			have, ok := model[key]
			err := g.reserve(signer, b)
			if ok && have != b.Digest {
				if err == nil {
					t.Fatal("second block admitted")
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			model[key] = b.Digest
			if rapid.Bool().Draw(t, "restart") {
				carried := g.carry()
				g = guard{}
				g.load(carried)
			}
		}
	})
}

func TestTornLastLineIsCutOff(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, segmentSize)
	require.NoError(t, l.Append(Record{Decision: Signed, Signer: "aa", Type: "message"}))
	require.NoError(t, l.Append(Record{Decision: Refused, Signer: "aa", Type: "unknown", Reason: "raw"}))
	require.NoError(t, l.Close())
	path := filepath.Join(dir, "00000001.log")
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	lastStart := strings.LastIndex(strings.TrimSuffix(string(whole), "\n"), "\n") + 1
	for cut := lastStart; cut < len(whole); cut++ {
		require.NoError(t, os.WriteFile(path, whole[:cut], 0o600))
		l := openLog(t, dir, segmentSize)
		got, err := l.Tail(10)
		require.NoError(t, err)
		require.Len(t, got, 1, "cut at %d", cut)
		require.NoError(t, l.Append(Record{Decision: Signed, Signer: "bb", Type: "message"}))
		require.NoError(t, l.Close())
		_, err = Verify(dir)
		require.NoError(t, err)
	}
}

func TestCrashInRotation(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, 10)
	require.NoError(t, l.Append(block(1, "x"))) // rotates: the first segment is over its limit at once
	require.NoError(t, l.Close())
	segments, err := listSegments(dir)
	require.NoError(t, err)
	next := segments[len(segments)-1] + 1
	require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%08d.log", next)), []byte(`{"seq":9,"carr`), 0o600))
	l = openLog(t, dir, 10)
	require.Error(t, l.Append(block(1, "y")))
	require.NoError(t, l.Append(block(2, "y")))
	_, err = Verify(dir)
	require.NoError(t, err)
}

func TestAlteredLogShows(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, segmentSize)
	for i := range 5 {
		require.NoError(t, l.Append(Record{Decision: Signed, Signer: "aa", Type: "message", Digest: fmt.Sprint(i)}))
	}
	require.NoError(t, l.Close())
	path := filepath.Join(dir, "00000001.log")
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := strings.SplitAfter(string(whole), "\n")
	altered := map[string]string{
		"line removed": strings.Join(append(append([]string{}, lines[:2]...), lines[3:]...), ""),
		"digest":       strings.Replace(string(whole), `"digest":"2"`, `"digest":"7"`, 1),
		"garbage":      lines[0] + "garbage\n" + strings.Join(lines[1:], ""),
	}
	for name, content := range altered {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
			_, err := Verify(dir)
			require.Error(t, err)
			_, err = open(dir, simClock(), segmentSize)
			require.Error(t, err)
		})
	}
}

func TestFailsClosed(t *testing.T) {
	for _, point := range []string{"wallet/audit", "wallet/auditSync"} {
		t.Run(point, func(t *testing.T) {
			l := openLog(t, t.TempDir(), segmentSize)
			disarm := fault.Arm(point, func() error { return errors.New("disk full") })
			require.ErrorIs(t, l.Append(Record{Decision: Signed}), ErrBroken)
			disarm()
			require.ErrorIs(t, l.Append(Record{Decision: Signed}), ErrBroken, "stays closed")
			require.ErrorIs(t, l.Append(block(1, "x")), ErrBroken)
		})
	}
}

func TestParallelAppends(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, 8000)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 25 {
				if err := l.Append(Record{Decision: Signed, Type: "message", Signer: fmt.Sprint(i), Digest: fmt.Sprint(j)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, l.Close())
	n, err := Verify(dir)
	require.NoError(t, err)
	segments, err := listSegments(dir)
	require.NoError(t, err)
	require.EqualValues(t, 200+len(segments), n)
}

func FuzzReplay(f *testing.F) {
	f.Add([]byte("{\"seq\":1,\"prev\":\"\"}\n{\"seq\":2"))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		l := &Log{guard: guard{}}
		good, err := l.replay(strings.NewReader(string(raw)))
		if err == nil && good > int64(len(raw)) {
			t.Fatal("claims more than there is")
		}
	})
}

// TestCrashInPrune: a wallet that dies between the removal of two old segments has a whole log, goes on, and removes the rest
// next time.
func TestCrashInPrune(t *testing.T) {
	dir := t.TempDir()
	clk := clock.NewSim(time.Unix(1_600_000_000, 0))
	l, err := open(dir, clk, 10)
	require.NoError(t, err)
	for h := range 6 {
		clk.Advance(time.Hour)
		require.NoError(t, l.Append(block(h+1, "x")))
	}
	passed := 0
	disarm := fault.Arm("wallet/auditPrune", func() error {
		if passed++; passed == 3 {
			return fault.ErrInjected
		}
		return nil
	})
	n, err := l.Prune(clk.Now())
	disarm()
	require.ErrorIs(t, err, fault.ErrInjected)
	require.Equal(t, 2, n)
	require.NoError(t, l.Close())
	_, err = Verify(dir)
	require.NoError(t, err, "old segments that are still there are whole")
	l, err = open(dir, clk, 10)
	require.NoError(t, err)
	defer l.Close()
	require.Error(t, l.Append(block(1, "y")), "what is gone is remembered")
	n, err = l.Prune(clk.Now())
	require.NoError(t, err)
	require.Positive(t, n)
	_, err = Verify(dir)
	require.NoError(t, err)
}
