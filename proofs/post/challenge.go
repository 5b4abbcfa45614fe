package post

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// Randomness makes the chain's PoSt randomness a field element; PoRep seeds are never treated this way.
func Randomness(r abi.PoStRandomness) (fr32.Node, error) {
	if len(r) != 32 {
		return fr32.Node{}, fmt.Errorf("PoSt randomness of %d bytes: want 32", len(r))
	}
	return fr32.Trunc([32]byte(r)), nil
}

// ChallengedSector picks the n-th sector of a winning PoSt out of a set of count sectors, as an index into the set.
// Prover is the miner's prover id, randomness already truncated; count must not be 0.
func ChallengedSector(prover, randomness fr32.Node, n, count uint64) uint64 {
	return first64(prover, randomness, n) % count
}

// LeafChallenge is the leaf challenged under number idx.
func LeafChallenge(randomness fr32.Node, sector abi.SectorNumber, idx uint64, leaves uint64) uint64 {
	buf := make([]byte, 0, 48)
	buf = append(buf, randomness[:]...)
	buf = binary.LittleEndian.AppendUint64(buf, uint64(sector))
	buf = binary.LittleEndian.AppendUint64(buf, idx)
	h := sha256.Sum256(buf)
	return binary.LittleEndian.Uint64(h[:8]) % leaves
}

// Leaves are the challenged leaves of one sector. Position is the sector's place in the whole proof
// (partition * sectors per partition + index; 0 for winning): version 1.0 numbers challenges through all sectors, 1.2
// anew in each sector.
func Leaves(p shape.PoSt, randomness fr32.Node, sector abi.SectorNumber, position int) []uint64 {
	out := make([]uint64, p.Challenges)
	base := uint64(position * p.Challenges)
	if p.Version == shape.V1_2 {
		base = 0
	}
	for n := range out {
		out[n] = LeafChallenge(randomness, sector, base+uint64(n), p.Nodes())
	}
	return out
}

// PublicSector is what the verifier knows of a proven sector.
type PublicSector struct {
	Number abi.SectorNumber
	CommR  fr32.Node
}

// PublicInputs are the circuit inputs of one partition without the leading ONE. Sectors are those of the partition
// (sorted by number; for winning the one challenged). Window: per sector CommR and 10 leaves, the last sector repeated
// until the partition is full. Winning: 66 times CommR and one leaf.
func PublicInputs(p shape.PoSt, randomness fr32.Node, partition int, sectors []PublicSector) ([]fr.Element, error) {
	if len(sectors) == 0 || len(sectors) > p.Sectors {
		return nil, fmt.Errorf("PoSt partition of %d sectors: want 1 to %d", len(sectors), p.Sectors)
	}
	perSector := p.Challenges + 1
	if p.Winning {
		perSector = 2 * p.Challenges
	}
	out := make([]fr.Element, 0, perSector*p.Sectors)
	for i, s := range sectors {
		commR, err := s.CommR.Element()
		if err != nil {
			return nil, fmt.Errorf("CommR of sector %d: %w", s.Number, err)
		}
		for n, leaf := range Leaves(p, randomness, s.Number, partition*p.Sectors+i) {
			if n == 0 || p.Winning {
				out = append(out, commR)
			}
			out = append(out, fr.NewElement(leaf))
		}
	}
	for len(out) < perSector*p.Sectors {
		out = append(out, out[len(out)-perSector:]...)
	}
	return out, nil
}

func first64(prover, randomness fr32.Node, n uint64) uint64 {
	buf := make([]byte, 0, 72)
	buf = append(buf, prover[:]...)
	buf = append(buf, randomness[:]...)
	buf = binary.LittleEndian.AppendUint64(buf, n)
	h := sha256.Sum256(buf)
	return binary.LittleEndian.Uint64(h[:8])
}
