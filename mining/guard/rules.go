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

// Touches tells whether an entry can matter to the judgement of a proposal: equal parents have equal heights, and a
// sibling lies at the height of the other's parents.
func (p Proposal) Touches(epoch, parentEpoch abi.ChainEpoch) bool {
	return epoch == p.Epoch || epoch == p.ParentEpoch || parentEpoch == p.ParentEpoch || parentEpoch == p.Epoch
}

// Judge applies the rules to a proposal, given the floor and the own blocks that it touches; others do no harm. why names
// the block that stands in the way.
func Judge(floor abi.ChainEpoch, own []Entry, p Proposal) (v Verdict, why string) {
	for _, e := range own {
		if e.Epoch == p.Epoch && e.Digest == p.Digest {
			return Same, ""
		}
		if e.Epoch == p.Epoch {
			return SecondBlock, fmt.Sprintf("another block was recorded for epoch %d", p.Epoch)
		}
	}
	if p.Epoch <= floor {
		return BelowFloor, fmt.Sprintf("epoch %d is not above %d, up to where the record of signed blocks may have holes", p.Epoch, floor)
	}
	for _, e := range own {
		switch {
		case e.Void:
		case e.Parents == p.Parents:
			return SameParents, fmt.Sprintf("the own block of epoch %d has the same parents", e.Epoch)
		case e.ParentEpoch == p.Epoch && e.Grandparents == p.Parents:
			// Going back below an own block: it built on siblings of the one proposed now.
			return SkipsOwn, fmt.Sprintf("the own block of epoch %d builds beside this one", e.Epoch)
		case e.Epoch == p.ParentEpoch && e.Parents == p.Grandparents && !holds(p.Parents, e.Block):
			return SkipsOwn, fmt.Sprintf("the parents leave out the own block of epoch %d beside them", e.Epoch)
		}
	}
	return Fresh, ""
}

// holds is false for an undefined block: whether it was ever signed is unknown.
func holds(key types.TipSetKey, block cid.Cid) bool {
	return block.Defined() && slices.Contains(key.Cids(), block)
}
