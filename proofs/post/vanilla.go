// Package post is the proof of spacetime before any circuit: which sectors and leaves are challenged, the openings of the
// replica trees, their check, and the circuit's public inputs, for winning and window PoSt.
//
// Start at SectorProof (what goes into the circuit), then at ChallengedSector and Leaves.
// Invariants: a partition holds the sectors really proven; where the circuit wants more, the last one is repeated.
package post

import (
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/merkle"
)

// SectorProof opens the challenged leaves of one sector's replica.
type SectorProof struct {
	Sector abi.SectorNumber `json:"sector"`
	CommR  fr32.Node        `json:"commR"`
	// CommC and CommRLast are the private halves of CommR; CommRLast is the root of all inclusion proofs.
	CommC     fr32.Node `json:"commC"`
	CommRLast fr32.Node `json:"commRLast"`
	// Inclusion has one opening per challenge: 66 for winning, 10 for window PoSt. In the winning circuit they count as
	// 66 sectors of one challenge each.
	Inclusion []merkle.Proof `json:"inclusion"`
}

// Partition is the witness of one circuit instance: 1 sector for winning, up to shape.PoSt.Sectors for window PoSt.
type Partition struct {
	Proof   abi.RegisteredPoStProof `json:"proof"`
	Sectors []SectorProof           `json:"sectors"`
}
