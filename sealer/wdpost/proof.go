package wdpost

import (
	"fmt"

	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
)

// Proof is a checked window proof of a group of partitions, as it goes into the
// message. Skipped holds, per partition of the group, the sectors left out.
type Proof struct {
	Randomness []byte
	Proofs     []proof.PoStProof
	Skipped    []bitfield.BitField
	// Sectors is how many sectors are proven.
	Sectors uint64
	// Parts tell who proved.
	Parts []Part `json:",omitempty"`
}

// Partition is a partition as the chain has it, in sector numbers.
type Partition struct {
	Index                         uint64
	All, Live, Faulty, Recovering bitfield.BitField
}

// toProve is what the chain expects to be proven: live sectors that are not
// faulty, or declared recovered.
func (p Partition) toProve() (bitfield.BitField, error) {
	out, err := bitfield.SubtractBitField(p.Faulty, p.Recovering)
	if err != nil {
		return out, fmt.Errorf("faults of partition %d: %w", p.Index, err)
	}
	if out, err = bitfield.SubtractBitField(p.Live, out); err != nil {
		return out, fmt.Errorf("sectors of partition %d: %w", p.Index, err)
	}
	return out, nil
}

// groups splits the partitions of a deadline that have something to prove and
// are not proven yet into messages of at most limit partitions.
func groups(parts []Partition, proven bitfield.BitField, limit int) ([][]uint64, error) {
	var out [][]uint64
	for _, p := range parts {
		want, err := p.toProve()
		if err != nil {
			return nil, err
		}
		empty, err := want.IsEmpty()
		if err != nil {
			return nil, fmt.Errorf("sectors of partition %d: %w", p.Index, err)
		}
		done, err := proven.IsSet(p.Index)
		if err != nil {
			return nil, fmt.Errorf("proven partitions: %w", err)
		}
		if empty || done {
			continue
		}
		if n := len(out); n > 0 && len(out[n-1]) < limit {
			out[n-1] = append(out[n-1], p.Index)
		} else {
			out = append(out, []uint64{p.Index})
		}
	}
	return out, nil
}

// statement is the ordered list of sectors that the actor will check a proof of
// the partitions against (actors-v7-miner.md 4.9): every sector of their union
// ascending, where one that is not proven is stood in for by the first proven
// one. proven is the set of sectors really proven.
func statement(parts []Partition, bad bitfield.BitField) (order []abi.SectorNumber, proven bitfield.BitField, skipped []bitfield.BitField, err error) {
	all, good := bitfield.New(), bitfield.New()
	for _, p := range parts {
		want, err := p.toProve()
		if err != nil {
			return nil, good, nil, err
		}
		skip, err := bitfield.IntersectBitField(want, bad)
		if err != nil {
			return nil, good, nil, fmt.Errorf("skipped sectors of partition %d: %w", p.Index, err)
		}
		ok, err := bitfield.SubtractBitField(want, bad)
		if err != nil {
			return nil, good, nil, fmt.Errorf("good sectors of partition %d: %w", p.Index, err)
		}
		if all, err = bitfield.MergeBitFields(all, p.All); err != nil {
			return nil, good, nil, fmt.Errorf("merge sectors: %w", err)
		}
		if good, err = bitfield.MergeBitFields(good, ok); err != nil {
			return nil, good, nil, fmt.Errorf("merge sectors: %w", err)
		}
		skipped = append(skipped, skip)
	}
	empty, err := good.IsEmpty()
	if err != nil || empty {
		return nil, good, skipped, err
	}
	first, err := good.First()
	if err != nil {
		return nil, good, nil, fmt.Errorf("first good sector: %w", err)
	}
	err = all.ForEach(func(n uint64) error {
		set, err := good.IsSet(n)
		if err != nil {
			return err
		}
		if !set {
			n = first
		}
		order = append(order, abi.SectorNumber(n))
		return nil
	})
	return order, good, skipped, err
}

// Declaration is what to tell the chain about one partition before the cutoff.
type Declaration struct {
	Partition          uint64
	Faults, Recoveries bitfield.BitField
}

// declare compares a partition with the sectors whose files are bad: live
// sectors that turned bad are faults, faulty ones with good files are recoveries.
func declare(p Partition, bad bitfield.BitField) (Declaration, error) {
	d := Declaration{Partition: p.Index}
	live, err := bitfield.SubtractBitField(p.Live, p.Faulty)
	if err == nil {
		d.Faults, err = bitfield.IntersectBitField(live, bad)
	}
	if err != nil {
		return d, fmt.Errorf("new faults of partition %d: %w", p.Index, err)
	}
	open, err := bitfield.SubtractBitField(p.Faulty, p.Recovering)
	if err == nil {
		open, err = bitfield.IntersectBitField(open, p.Live)
	}
	if err == nil {
		d.Recoveries, err = bitfield.SubtractBitField(open, bad)
	}
	if err != nil {
		return d, fmt.Errorf("recoveries of partition %d: %w", p.Index, err)
	}
	return d, nil
}
