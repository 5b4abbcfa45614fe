package signlog

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/filecoin-project/go-state-types/abi"
)

// remembered is how many heights are kept for each (signer, miner): more than any finality, so that a chain can never
// honestly come back to a forgotten height.
const remembered = 2048

// DoubleBlockError refuses a second block of one miner at one height.
type DoubleBlockError struct {
	Height abi.ChainEpoch
	Below  bool // the height is below all that is remembered
	// Restored: the block is of a time before the wallet was restored.
	Restored bool
}

// Error tells a person which rule refused.
func (e *DoubleBlockError) Error() string {
	if e.Restored {
		return fmt.Sprintf("block at height %d is of a time before this wallet was restored from a backup: another may have been signed then", e.Height)
	}
	if e.Below {
		return fmt.Sprintf("block at height %d is older than the blocks this wallet remembers having signed for the miner", e.Height)
	}
	return fmt.Sprintf("another block of this miner at height %d was signed before", e.Height)
}

type guardKey struct{ signer, miner string }

type history struct {
	byHeight map[abi.ChainEpoch]string // height -> digest
	pruned   bool                      // something below the lowest height was forgotten
}

// guard is the pure memory of signed blocks.
type guard map[guardKey]*history

// reserve remembers the block or refuses it. The same block again is welcome.
func (g guard) reserve(signer string, b Block) error {
	k := guardKey{signer, b.Miner}
	h := g[k]
	if h == nil {
		h = &history{byHeight: map[abi.ChainEpoch]string{}}
		g[k] = h
	}
	if d, ok := h.byHeight[b.Height]; ok {
		if d == b.Digest {
			return nil
		}
		return &DoubleBlockError{Height: b.Height}
	}
	if h.pruned && b.Height < h.lowest() {
		return &DoubleBlockError{Height: b.Height, Below: true}
	}
	h.byHeight[b.Height] = b.Digest
	if len(h.byHeight) > remembered {
		delete(h.byHeight, h.lowest())
		h.pruned = true
	}
	return nil
}

func (h *history) lowest() abi.ChainEpoch {
	first := true
	var low abi.ChainEpoch
	for e := range h.byHeight {
		if first || e < low {
			low, first = e, false
		}
	}
	return low
}

// carry writes the memory down in a fixed order.
func (g guard) carry() []Carried {
	out := make([]Carried, 0, len(g))
	for k, h := range g {
		c := Carried{Signer: k.signer, Miner: k.miner}
		for e, d := range h.byHeight {
			c.Blocks = append(c.Blocks, Block{Miner: k.miner, Height: e, Digest: d})
		}
		slices.SortFunc(c.Blocks, func(a, b Block) int { return cmp.Compare(a.Height, b.Height) })
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Carried) int {
		return cmp.Or(cmp.Compare(a.Signer, b.Signer), cmp.Compare(a.Miner, b.Miner))
	})
	return out
}

// load takes over what carry wrote.
func (g guard) load(carried []Carried) {
	for _, c := range carried {
		h := &history{byHeight: map[abi.ChainEpoch]string{}, pruned: len(c.Blocks) >= remembered}
		for _, b := range c.Blocks {
			h.byHeight[b.Height] = b.Digest
		}
		g[guardKey{c.Signer, c.Miner}] = h
	}
}
