package circuit

import (
	"fmt"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"github.com/filecoin-venus/venus/proofs/post"
	"github.com/filecoin-venus/venus/proofs/r1cs"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// PoSt is one partition of a proof of spacetime as a circuit.
type PoSt struct {
	sectors []postSector
}

type postSector struct {
	commR, commC, commRLast fr.Element
	openings                []opening
}

type opening struct {
	leaf fr.Element
	path []r1cs.Row
}

// NewPoSt makes the circuit of a partition. Window: missing sectors are filled with the last one. Winning: each challenge
// counts as a sector of its own. A partition of the wrong shape is an error.
func NewPoSt(p post.Partition) (*PoSt, error) {
	sh, err := shape.OfPoSt(p.Proof)
	if err != nil {
		return nil, err
	}
	if len(p.Sectors) == 0 || len(p.Sectors) > sh.Sectors {
		return nil, fmt.Errorf("PoSt partition of %d sectors: want 1 to %d", len(p.Sectors), sh.Sectors)
	}
	var r reader
	arities := sh.Tree.PathArities()
	c := &PoSt{}
	for i := range p.Sectors {
		in := &p.Sectors[i]
		if len(in.Inclusion) != sh.Challenges {
			return nil, fmt.Errorf("sector %d: %d openings, want %d", in.Sector, len(in.Inclusion), sh.Challenges)
		}
		sec := postSector{commR: r.element(in.CommR), commC: r.element(in.CommC), commRLast: r.element(in.CommRLast)}
		for j := range in.Inclusion {
			sec.openings = append(sec.openings, opening{r.element(in.Inclusion[j].Leaf), r.path(in.Inclusion[j], arities)})
		}
		if r.err != nil {
			return nil, fmt.Errorf("sector %d: %w", in.Sector, r.err)
		}
		c.add(sec, sh.Winning)
	}
	for !sh.Winning && len(c.sectors) < sh.Sectors {
		c.sectors = append(c.sectors, c.sectors[len(c.sectors)-1])
	}
	return c, nil
}

// add appends a sector, or for winning one circuit sector per opening.
func (c *PoSt) add(sec postSector, winning bool) {
	if !winning {
		c.sectors = append(c.sectors, sec)
		return
	}
	for i := range sec.openings {
		one := sec
		one.openings = sec.openings[i : i+1]
		c.sectors = append(c.sectors, one)
	}
}

// BlankPoSt is the circuit of a PoSt type with an all-zero witness: good for its shape, never satisfied.
func BlankPoSt(sh shape.PoSt) *PoSt {
	if sh.Winning {
		return blankPoSt(sh.Challenges, 1, sh.Tree.PathArities())
	}
	return blankPoSt(sh.Sectors, sh.Challenges, sh.Tree.PathArities())
}

func blankPoSt(sectors, challenges int, arities []int) *PoSt {
	sec := postSector{}
	for range challenges {
		sec.openings = append(sec.openings, opening{path: blankPath(arities)})
	}
	c := &PoSt{}
	for range sectors {
		c.sectors = append(c.sectors, sec)
	}
	return c
}

// Synthesize writes the circuit. Inputs: per sector CommR, then the index of each challenged leaf.
func (c *PoSt) Synthesize(s *r1cs.System) {
	for i := range c.sectors {
		sec := &c.sectors[i]
		commRLast := s.AllocNum(sec.commRLast)
		commC := s.AllocNum(sec.commC)
		commR := s.AllocNum(sec.commR)
		s.Inputize(commR)
		s.Equal(commR, s.Poseidon([]r1cs.Num{commC, commRLast}))
		for j := range sec.openings {
			o := &sec.openings[j]
			s.Path(s.AllocNum(o.leaf), o.path, commRLast, r1cs.PoseidonNode)
		}
	}
}
