package post

import (
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/merkle"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// ErrProof marks a sector proof that does not prove what it should; when making one, it means that the sector's files are
// damaged.
var ErrProof = errors.New("sector proof is wrong")

// Replica is a sealed sector at rest.
type Replica struct {
	PublicSector
	CommC, CommRLast fr32.Node
	// Tree is the replica tree.
	Tree *merkle.Octree
}

// ProveSector opens the challenged leaves of one replica. Position is the sector's place in the whole proof (see Leaves).
// The result is checked before it is returned.
func ProveSector(ctx context.Context, p shape.PoSt, randomness fr32.Node, position int, r Replica) (SectorProof, error) {
	sp := SectorProof{Sector: r.Number, CommR: r.CommR, CommC: r.CommC, CommRLast: r.CommRLast}
	for _, leaf := range Leaves(p, randomness, r.Number, position) {
		if err := ctx.Err(); err != nil {
			return SectorProof{}, err
		}
		proof, err := r.Tree.Open(leaf)
		if err != nil {
			return SectorProof{}, fmt.Errorf("sector %d: %w", r.Number, err)
		}
		sp.Inclusion = append(sp.Inclusion, proof)
	}
	if err := sp.Check(p, randomness, position, r.PublicSector); err != nil {
		return SectorProof{}, err
	}
	return sp, nil
}

// Check verifies the openings against what is public of the sector.
func (sp SectorProof) Check(p shape.PoSt, randomness fr32.Node, position int, want PublicSector) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%w: sector %d: %w", ErrProof, want.Number, fmt.Errorf(format, args...))
	}
	if sp.Sector != want.Number || sp.CommR != want.CommR {
		return fail("proof is of sector %d with CommR %s, want CommR %s", sp.Sector, sp.CommR, want.CommR)
	}
	commR, err := merkle.Poseidon([]fr32.Node{sp.CommC, sp.CommRLast})
	if err != nil {
		return fail("CommR: %w", err)
	}
	if commR != want.CommR {
		return fail("CommC and CommRLast give CommR %s, not %s", commR, want.CommR)
	}
	leaves := Leaves(p, randomness, want.Number, position)
	if len(sp.Inclusion) != len(leaves) {
		return fail("%d openings, want %d", len(sp.Inclusion), len(leaves))
	}
	arities := p.Tree.PathArities()
	for n, proof := range sp.Inclusion {
		if proof.Root != sp.CommRLast {
			return fail("opening %d has root %s, not %s", n, proof.Root, sp.CommRLast)
		}
		if err := proof.Check(merkle.Poseidon, arities, leaves[n]); err != nil {
			return fail("opening %d: %w", n, err)
		}
	}
	return nil
}

// Public lists what the verifier knows of the partition's sectors.
func (p Partition) Public() []PublicSector {
	out := make([]PublicSector, len(p.Sectors))
	for i, s := range p.Sectors {
		out[i] = PublicSector{Number: s.Sector, CommR: s.CommR}
	}
	return out
}

// Check verifies all sectors of a partition, number index of the whole proof. The public sectors are those of Public when
// the caller has no others; sectors must be in ascending order.
func (p Partition) Check(randomness fr32.Node, index int, public []PublicSector) error {
	sh, err := shape.OfPoSt(p.Proof)
	if err != nil {
		return err
	}
	if len(p.Sectors) == 0 || len(p.Sectors) > sh.Sectors || len(p.Sectors) != len(public) {
		return fmt.Errorf("%w: partition of %d sectors, want %d (at most %d)", ErrProof, len(p.Sectors), len(public), sh.Sectors)
	}
	last := abi.SectorNumber(0)
	for i, s := range p.Sectors {
		if i > 0 && s.Sector <= last {
			return fmt.Errorf("%w: sector %d after sector %d", ErrProof, s.Sector, last)
		}
		last = s.Sector
		if err := s.Check(sh, randomness, index*sh.Sectors+i, public[i]); err != nil {
			return err
		}
	}
	return nil
}
