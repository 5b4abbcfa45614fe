package guard

import (
	"fmt"
	"slices"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/types"
)

// Verdict is the outcome of judging a proposal.
type Verdict string

// The verdicts. Fresh and Same allow a signature.
const (
	Fresh       Verdict = "fresh"        // nothing speaks against it
	Same        Verdict = "same"         // these very bytes were recorded before
	SecondBlock Verdict = "second-block" // another block at this epoch was recorded
	SameParents Verdict = "same-parents" // another epoch's block has the same parents
	SkipsOwn    Verdict = "skips-own"    // the parents leave out an own block beside them
	BelowFloor  Verdict = "below-floor"  // the record has holes at this height
)

// Allowed tells whether the verdict admits a signature.
func (v Verdict) Allowed() bool { return v == Fresh || v == Same }

// Proposal is a block about to be signed.
type Proposal struct {
	Epoch        abi.ChainEpoch
	Parents      types.TipSetKey
	ParentEpoch  abi.ChainEpoch  // the height of the parents
	Grandparents types.TipSetKey // the parents' own parents
	Digest       string          // of the signing bytes, hex
}

// Entry is what is remembered of an own block.
type Entry struct {
	Epoch        abi.ChainEpoch
	Parents      types.TipSetKey
	ParentEpoch  abi.ChainEpoch
	Grandparents types.TipSetKey
	Digest       string
	// Block is the CID of the signed block, undefined while no signature is known.
	Block cid.Cid
	// Void means that the node refused the block for good before anyone else could see it: it counts for its own epoch
	// only.
	Void bool
}

// History is what is remembered of one miner. The zero value remembers nothing.
type History struct {
	entries map[abi.ChainEpoch]Entry
	floor   abi.ChainEpoch
}

// Floor is the highest epoch at which nothing new may be signed; 0 when there is none.
func (h *History) Floor() abi.ChainEpoch { return h.floor }

// Last is the highest epoch remembered.
func (h *History) Last() (abi.ChainEpoch, bool) {
	last, ok := abi.ChainEpoch(0), false
	for e := range h.entries {
		if !ok || e > last {
			last, ok = e, true
		}
	}
	return last, ok
}

// At returns the entry of an epoch.
func (h *History) At(e abi.ChainEpoch) (Entry, bool) {
	have, ok := h.entries[e]
	return have, ok
}

// Judge applies the rules. why names the block that stands in the way.
func (h *History) Judge(p Proposal) (v Verdict, why string) {
	if have, ok := h.entries[p.Epoch]; ok {
		if have.Digest == p.Digest {
			return Same, ""
		}
		return SecondBlock, fmt.Sprintf("another block was recorded for epoch %d", p.Epoch)
	}
	if p.Epoch <= h.floor {
		return BelowFloor, fmt.Sprintf("epoch %d is not above %d, up to where the record of signed blocks may have holes", p.Epoch, h.floor)
	}
	for _, e := range h.entries {
		switch {
		case e.Void:
		case e.Parents == p.Parents:
			return SameParents, fmt.Sprintf("the own block of epoch %d has the same parents", e.Epoch)
		case e.ParentEpoch == p.Epoch && e.Grandparents == p.Parents:
			// Going back below an own block: it built on siblings of the one proposed now.
			return SkipsOwn, fmt.Sprintf("the own block of epoch %d builds beside this one", e.Epoch)
		}
	}
	if e, ok := h.entries[p.ParentEpoch]; ok && !e.Void && e.Parents == p.Grandparents && !holds(p.Parents, e.Block) {
		return SkipsOwn, fmt.Sprintf("the parents leave out the own block of epoch %d beside them", e.Epoch)
	}
	return Fresh, ""
}

// holds is false for an undefined block: whether it was ever signed is unknown.
func holds(key types.TipSetKey, block cid.Cid) bool {
	return block.Defined() && slices.Contains(key.Cids(), block)
}

func (h *History) put(e Entry) {
	if h.entries == nil {
		h.entries = map[abi.ChainEpoch]Entry{}
	}
	h.entries[e.Epoch] = e
}

func (h *History) raise(floor abi.ChainEpoch) { h.floor = max(h.floor, floor) }

// forget keeps the newest entries and raises the floor to the newest forgotten one.
func (h *History) forget(keep int) {
	if len(h.entries) <= keep {
		return
	}
	epochs := make([]abi.ChainEpoch, 0, len(h.entries))
	for e := range h.entries {
		epochs = append(epochs, e)
	}
	slices.Sort(epochs)
	for _, e := range epochs[:len(epochs)-keep] {
		h.raise(e)
		delete(h.entries, e)
	}
}
