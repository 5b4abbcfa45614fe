package guard

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"
	"golang.org/x/crypto/blake2b"

	"github.com/filecoin-venus/venus/types"
)

// FileVersion is the version of the file that this program writes and reads.
const FileVersion = 1

// maxState bounds the name of a state.
const maxState = 16

// File is the record of signed blocks outside of a database, as JSON.
type File struct {
	Version int
	// Network is the network's name: a record says nothing about another.
	Network string
	// Exported is when the record was read.
	Exported time.Time
	Miners   []FileMiner
	// Sum is the BLAKE2b-256 of the file with an empty Sum, hex.
	Sum string
}

// FileMiner is one miner's part.
type FileMiner struct {
	Miner address.Address
	// Floor is the highest epoch at which nothing new may be signed.
	Floor  abi.ChainEpoch
	Blocks []FileBlock
}

// FileBlock is one recorded block.
type FileBlock struct {
	Epoch, ParentEpoch abi.ChainEpoch
	Parents            types.TipSetKey
	Grandparents       types.TipSetKey
	Digest             string
	Block              *cid.Cid `json:",omitempty"`
	Void               bool     `json:",omitempty"`
	WinCount           int64
	State              string
	Reason             string `json:",omitempty"`
}

// sum is the digest that belongs into Sum.
func (f File) sum() (string, error) {
	f.Sum = ""
	raw, err := json.Marshal(f)
	if err != nil {
		return "", fmt.Errorf("encode record of signed blocks: %w", err)
	}
	d := blake2b.Sum256(raw)
	return hex.EncodeToString(d[:]), nil
}

// Seal fills in version and sum.
func (f *File) Seal() (err error) {
	f.Version = FileVersion
	f.Exported = f.Exported.UTC().Truncate(time.Second) // as JSON reads it back
	f.Sum, err = f.sum()
	return err
}

// Decode reads and verifies a file.
func Decode(raw []byte) (*File, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	f := new(File)
	if err := d.Decode(f); err != nil {
		return nil, fmt.Errorf("this is no record of signed blocks: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the record of signed blocks")
	}
	return f, f.Verify()
}

// Verify checks version, sum and everything that the rules rely on.
func (f *File) Verify() error {
	if f.Version != FileVersion {
		return fmt.Errorf("the record has version %d, this program reads version %d", f.Version, FileVersion)
	}
	want, err := f.sum()
	if err != nil {
		return err
	}
	if f.Sum != want {
		return errors.New("the record does not fit its checksum: it was damaged or edited")
	}
	seen := map[address.Address]bool{}
	for _, m := range f.Miners {
		if m.Miner.Protocol() != address.ID || seen[m.Miner] {
			return fmt.Errorf("the record names the miner %s twice or not by its ID", m.Miner)
		}
		seen[m.Miner] = true
		if err := m.verify(); err != nil {
			return fmt.Errorf("record of %s: %w", m.Miner, err)
		}
	}
	return nil
}

func (m FileMiner) verify() error {
	if m.Floor < 0 {
		return fmt.Errorf("a floor of %d", m.Floor)
	}
	epochs := map[abi.ChainEpoch]bool{}
	for _, b := range m.Blocks {
		digest, err := hex.DecodeString(b.Digest)
		switch {
		case err != nil || len(digest) != blake2b.Size256:
			return fmt.Errorf("the block of epoch %d has no digest", b.Epoch)
		case b.ParentEpoch < 0 || b.Epoch <= b.ParentEpoch || b.Parents.IsEmpty():
			return fmt.Errorf("the block of epoch %d does not lie above its parents", b.Epoch)
		case b.WinCount < 0 || epochs[b.Epoch]:
			return fmt.Errorf("two blocks of epoch %d, or one that won less than nothing", b.Epoch)
		}
		if len(b.State) > maxState {
			return fmt.Errorf("the block of epoch %d has no state", b.Epoch)
		}
		epochs[b.Epoch] = true
	}
	return nil
}

// Last is the highest epoch that the part speaks of.
func (m FileMiner) Last() abi.ChainEpoch {
	last := m.Floor
	for _, b := range m.Blocks {
		last = max(last, b.Epoch)
	}
	return last
}

// Entry is the block as the rules see it.
func (b FileBlock) Entry() Entry {
	e := Entry{Epoch: b.Epoch, Parents: b.Parents, ParentEpoch: b.ParentEpoch, Grandparents: b.Grandparents, Digest: b.Digest, Void: b.Void}
	if b.Block != nil {
		e.Block = *b.Block
	}
	return e
}

// Sort puts miners and blocks in a fixed order.
func (f *File) Sort() {
	slices.SortFunc(f.Miners, func(a, b FileMiner) int { return bytes.Compare(a.Miner.Bytes(), b.Miner.Bytes()) })
	for _, m := range f.Miners {
		slices.SortFunc(m.Blocks, func(a, b FileBlock) int { return int(a.Epoch - b.Epoch) })
	}
}
