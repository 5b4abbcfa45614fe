package guard

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/types"
)

const (
	// kept is how many own blocks are remembered; more than any finality lasts for a miner that wins every epoch.
	kept = 2000
	// compactAbove is the file size, in bytes, above which Open rewrites the file.
	compactAbove = 8 << 20
)

// ErrBroken is wrapped by every refusal of a guard that could not write.
var ErrBroken = errors.New("the record of signed blocks cannot be written, this miner stands still until the program is restarted")

// State is how a recorded block fared.
type State string

// The states, in the order a block passes them.
const (
	Signing   State = "signing"
	Submitted State = "submitted"
	Failed    State = "failed"
	Lost      State = "lost"
	Landed    State = "landed"
)

// Record is one recorded block, for people and for sending it again.
type Record struct {
	Entry
	WinCount int64
	State    State
	Err      string
	// Template is the block message without signature, nil for old records.
	Template []byte
}

// event is a line of the file.
type event struct {
	Kind     string         `json:"kind"` // intent, signed, outcome, floor
	Epoch    abi.ChainEpoch `json:"epoch"`
	Parents  []cid.Cid      `json:"parents,omitempty"`
	Below    abi.ChainEpoch `json:"below,omitempty"` // height of the parents
	Grand    []cid.Cid      `json:"grand,omitempty"` // parents of the parents
	Digest   string         `json:"digest,omitempty"`
	WinCount int64          `json:"wins,omitempty"`
	Template []byte         `json:"template,omitempty"`
	Block    *cid.Cid       `json:"block,omitempty"`
	State    State          `json:"state,omitempty"`
	Err      string         `json:"err,omitempty"`
	Void     bool           `json:"void,omitempty"`
	Why      string         `json:"why,omitempty"` // of a floor
}

// Guard is the durable record of one miner. It is safe for concurrent use.
type Guard struct {
	path string

	mu      sync.Mutex
	file    *os.File
	size    int64
	limit   int64 // of size, before the file is rewritten
	history History
	records map[abi.ChainEpoch]*Record
	fresh   bool
	broken  error
}

// Path is where the record of a miner lies below dir.
func Path(dir string, miner address.Address) string {
	return filepath.Join(dir, hex.EncodeToString(miner.Bytes())+".log")
}

// Open opens or creates the record of a miner in dir. A torn last line, the mark of a crash, is cut off: nothing was
// signed on it. Damage anywhere else is an error.
func Open(dir string, miner address.Address) (*Guard, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make guard folder: %w", err)
	}
	g := &Guard{path: Path(dir, miner), limit: compactAbove, records: map[abi.ChainEpoch]*Record{}}
	f, err := os.OpenFile(g.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open guard of %s: %w", miner, err)
	}
	g.file = f
	if err := g.load(); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("guard of %s: %w", miner, err)
	}
	if err := fsutil.SyncDir(dir); err != nil {
		_ = f.Close()
		return nil, err
	}
	if g.size > compactAbove {
		if err := g.compact(); err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("compact guard of %s: %w", miner, err)
		}
	}
	return g, nil
}

func (g *Guard) load() error {
	rd := bufio.NewReader(g.file)
	for {
		line, err := rd.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break // what is left has no line end: torn
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		ev, err := parseLine(line)
		if err != nil {
			if _, peek := rd.Peek(1); errors.Is(peek, io.EOF) {
				break
			}
			return fmt.Errorf("%s is damaged at byte %d: %w; move it away only if no block can have been signed lately", g.path, g.size, err)
		}
		if err := g.apply(ev); err != nil {
			return fmt.Errorf("%s at byte %d: %w", g.path, g.size, err)
		}
		g.size += int64(len(line))
	}
	g.fresh = g.size == 0
	if err := g.file.Truncate(g.size); err != nil {
		return fmt.Errorf("cut torn line: %w", err)
	}
	_, err := g.file.Seek(g.size, io.SeekStart)
	return err
}

func formatLine(ev *event) ([]byte, error) {
	b, err := json.Marshal(ev)
	if err != nil {
		return nil, fmt.Errorf("encode guard record: %w", err)
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.ChecksumIEEE(b), b), nil
}

func parseLine(line []byte) (*event, error) {
	sum, body, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
	if !ok || string(sum) != fmt.Sprintf("%08x", crc32.ChecksumIEEE(body)) {
		return nil, errors.New("checksum does not fit")
	}
	var ev event
	if err := json.Unmarshal(body, &ev); err != nil {
		return nil, fmt.Errorf("not a record: %w", err)
	}
	return &ev, nil
}

// apply changes memory by one event; the same for new events and for those read back.
func (g *Guard) apply(ev *event) error {
	if ev.Kind == "floor" {
		g.history.raise(ev.Epoch)
		return nil
	}
	if ev.Kind == "intent" {
		if _, ok := g.records[ev.Epoch]; ok {
			return fmt.Errorf("a second intent for epoch %d", ev.Epoch)
		}
		r := &Record{
			Entry:    Entry{Epoch: ev.Epoch, Parents: types.NewTipSetKey(ev.Parents...), ParentEpoch: ev.Below, Grandparents: types.NewTipSetKey(ev.Grand...), Digest: ev.Digest},
			WinCount: ev.WinCount, State: Signing, Template: ev.Template,
		}
		g.records[ev.Epoch] = r
		g.history.put(r.Entry)
		g.history.forget(kept)
		for e := range g.records {
			if _, ok := g.history.entries[e]; !ok {
				delete(g.records, e)
			}
		}
		return nil
	}
	r, ok := g.records[ev.Epoch]
	if !ok {
		return nil // forgotten
	}
	switch ev.Kind {
	case "signed":
		if ev.Block == nil {
			return errors.New("a signed block without its cid")
		}
		r.Block = *ev.Block
	case "outcome":
		r.State, r.Err, r.Void = ev.State, ev.Err, r.Void || ev.Void
		if ev.State != Submitted && ev.State != Signing {
			r.Template = nil
		}
	default:
		return fmt.Errorf("record of unknown kind %q", ev.Kind)
	}
	g.history.put(r.Entry)
	return nil
}

// write appends an event, durable when sync is set, and applies it.
func (g *Guard) write(ev *event, sync bool) error {
	if g.broken != nil {
		return g.broken
	}
	line, err := formatLine(ev)
	if err != nil {
		return err
	}
	if err = fault.Point("mining/record"); err == nil {
		_, err = g.file.Write(line)
	}
	if err == nil && sync {
		err = g.file.Sync()
	}
	if err != nil {
		g.broken = fmt.Errorf("%w: %w", ErrBroken, err)
		return g.broken
	}
	g.size += int64(len(line))
	return g.apply(ev)
}

// Propose judges a block and, when it is fresh, records it durably. Only after it returned an allowed verdict may a
// signature be asked for. template is kept for sending the same bytes again after a crash.
func (g *Guard) Propose(p Proposal, winCount int64, template []byte) (Verdict, string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.broken != nil {
		return "", "", g.broken
	}
	v, why := g.history.Judge(p)
	if v != Fresh {
		return v, why, nil
	}
	err := g.write(&event{
		Kind: "intent", Epoch: p.Epoch, Parents: p.Parents.Cids(), Below: p.ParentEpoch, Grand: p.Grandparents.Cids(),
		Digest: p.Digest, WinCount: winCount, Template: template,
	}, true)
	if err != nil {
		return "", "", err
	}
	return Fresh, "", nil
}

// Signed notes the CID of a block that was signed, durably, before it is shown to anyone.
func (g *Guard) Signed(epoch abi.ChainEpoch, block cid.Cid) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.write(&event{Kind: "signed", Epoch: epoch, Block: &block}, true)
}

// Outcome notes how a block fared. void says that the node refused it for good.
func (g *Guard) Outcome(epoch abi.ChainEpoch, s State, reason string, void bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.write(&event{Kind: "outcome", Epoch: epoch, State: s, Err: reason, Void: void}, void); err != nil {
		return err
	}
	// Here no signature waits for the disk.
	if g.size > g.limit {
		if err := g.compact(); err != nil {
			g.broken = fmt.Errorf("%w: compact: %w", ErrBroken, err)
			return g.broken
		}
		g.limit = max(compactAbove, 2*g.size)
	}
	return nil
}

// RaiseFloor forbids everything up to epoch, durably.
func (g *Guard) RaiseFloor(epoch abi.ChainEpoch, why string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if epoch <= g.history.floor {
		return nil
	}
	g.fresh = false
	return g.write(&event{Kind: "floor", Epoch: epoch, Why: why}, true)
}

// Fresh tells whether the file held nothing when it was opened.
func (g *Guard) Fresh() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fresh
}

// Knows tells whether a block of the chain is in the record.
func (g *Guard) Knows(epoch abi.ChainEpoch, block cid.Cid) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	e, ok := g.history.At(epoch)
	return ok && (e.Block == block || !e.Block.Defined()) || epoch <= g.history.floor
}

// Records returns up to limit records, newest first.
func (g *Guard) Records(limit int) []Record {
	g.mu.Lock()
	defer g.mu.Unlock()
	epochs := make([]abi.ChainEpoch, 0, len(g.records))
	for e := range g.records {
		epochs = append(epochs, e)
	}
	slices.Sort(epochs)
	slices.Reverse(epochs)
	out := make([]Record, 0, min(limit, len(epochs)))
	for _, e := range epochs[:min(limit, len(epochs))] {
		out = append(out, *g.records[e])
	}
	return out
}

// compact rewrites the file with what is remembered.
func (g *Guard) compact() error {
	var b bytes.Buffer
	add := func(ev *event) error {
		line, err := formatLine(ev)
		b.Write(line)
		return err
	}
	if err := add(&event{Kind: "floor", Epoch: g.history.floor, Why: "compacted"}); err != nil {
		return err
	}
	epochs := make([]abi.ChainEpoch, 0, len(g.records))
	for e := range g.records {
		epochs = append(epochs, e)
	}
	slices.Sort(epochs)
	for _, e := range epochs {
		r := g.records[e]
		err := add(&event{
			Kind: "intent", Epoch: e, Parents: r.Parents.Cids(), Below: r.ParentEpoch, Grand: r.Grandparents.Cids(),
			Digest: r.Digest, WinCount: r.WinCount, Template: r.Template,
		})
		if err == nil && r.Block.Defined() {
			err = add(&event{Kind: "signed", Epoch: e, Block: &r.Block})
		}
		if err == nil && r.State != Signing {
			err = add(&event{Kind: "outcome", Epoch: e, State: r.State, Err: r.Err, Void: r.Void})
		}
		if err != nil {
			return err
		}
	}
	if err := fsutil.WriteFileAtomic(g.path, b.Bytes(), 0o600); err != nil {
		return err
	}
	f, err := os.OpenFile(g.path, os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		_ = f.Close()
		return err
	}
	_ = g.file.Close()
	g.file, g.size = f, int64(b.Len())
	return nil
}

// Close syncs and closes the file.
func (g *Guard) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.broken = fmt.Errorf("%w: it is closed", ErrBroken)
	return errors.Join(g.file.Sync(), g.file.Close())
}
