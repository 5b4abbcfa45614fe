// Package prove is the door for programs that make proofs: it turns vanilla proofs into Groth16 proofs.
//
// Start at [New]. There is one circuit per proof type and there are several backends for it, see [Backend]; package seal
// describes what a prover must be able to do, and a [Prover] is that. [Prover.AggregateSeals] makes one proof of many.
//
// Invariants: the trapdoor backend exists on private networks only; every proof has been verified before it is returned.
package prove

import (
	"context"
	"errors"
	"fmt"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"github.com/filecoin-venus/venus/internal/lazy"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/circuit"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/groth16"
	"github.com/filecoin-venus/venus/proofs/groth16/prover"
	keys "github.com/filecoin-venus/venus/proofs/params"
	"github.com/filecoin-venus/venus/proofs/porep"
	"github.com/filecoin-venus/venus/proofs/post"
	"github.com/filecoin-venus/venus/proofs/shape"
	"github.com/filecoin-venus/venus/proofs/update"
)

// Backend names a way to make proofs.
type Backend string

const (
	// Trapdoor needs no parameter files because it knows the secret of the parameters, which follows from the network's
	// proof seed. Anyone with the seed can forge proofs: private networks only.
	Trapdoor Backend = "trapdoor"
	// CRS uses parameter files, as every public network must: Filecoin's own out of the parameter cache, or on a private
	// network files made from its seed at first use.
	CRS Backend = "crs"
)

// ErrRefused marks a backend that the network does not allow.
var ErrRefused = errors.New("proof backend refused")

// Prover makes the proofs of one network. Safe for concurrent use.
type Prover struct {
	start func(ctx context.Context, id keys.Circuit) (system, *groth16.VerifyingKey, error)
	ready lazy.Map[string, *machine]

	aggregator *aggregator
}

// system is a Groth16 prover of one circuit.
type system interface {
	Prove(c groth16.Circuit) (*groth16.Proof, []fr.Element, error)
}

// machine proves one circuit and checks what it made.
type machine struct {
	prover   system
	verifier *groth16.PreparedKey
}

// New makes a prover with the machine's parameter cache. The trapdoor backend gives ErrRefused unless the network is marked
// devnet.
func New(network params.Network, backend Backend) (*Prover, error) {
	return NewIn(keys.CacheDir(), network, backend)
}

// NewIn is New with the parameter cache in dir.
func NewIn(dir string, network params.Network, backend Backend) (*Prover, error) {
	p := new(Prover)
	devnet := keys.NewDevnet(network.ProofSeed, dir)
	switch {
	case backend == Trapdoor && !network.Devnet:
		return nil, fmt.Errorf("network %s is not a private network: its proofs cannot be made with the trapdoor: %w", network.Name, ErrRefused)
	case backend == Trapdoor:
		p.aggregator = seeded(devnet)
		p.start = func(_ context.Context, id keys.Circuit) (system, *groth16.VerifyingKey, error) {
			secret, derived, err := devnet.Derive(id)
			if err != nil {
				return nil, nil, err
			}
			return prover.NewTrapdoor(secret, derived), derived.Key, nil
		}
	case backend == CRS && network.Devnet:
		p.aggregator = seeded(devnet)
		p.start = func(ctx context.Context, id keys.Circuit) (system, *groth16.VerifyingKey, error) {
			path, err := devnet.ParamsFile(ctx, id, prover.WriteParams)
			return openCRS(id, path, err)
		}
	case backend == CRS:
		official := keys.NewOfficial(dir)
		p.aggregator = filed(official)
		p.start = func(ctx context.Context, id keys.Circuit) (system, *groth16.VerifyingKey, error) {
			path, err := official.ParamsFile(ctx, id)
			return openCRS(id, path, err)
		}
	default:
		return nil, fmt.Errorf("proof backend %q: want %q or %q: %w", backend, Trapdoor, CRS, ErrRefused)
	}
	return p, nil
}

func openCRS(id keys.Circuit, path string, err error) (system, *groth16.VerifyingKey, error) {
	if err != nil {
		return nil, nil, err
	}
	file, err := prover.OpenParams(path)
	if err != nil {
		return nil, nil, err
	}
	return prover.NewCRS(file, id.Blank()), file.Key, nil
}

// ProvePoRep proves all partitions of a proof of replication, 192 bytes each.
func (p *Prover) ProvePoRep(ctx context.Context, v porep.Vanilla) ([]byte, error) {
	sh, err := shape.OfSeal(v.SealProof)
	if err != nil {
		return nil, err
	}
	var out []byte
	for k := range sh.Partitions {
		c, err := circuit.NewPoRep(v, k)
		if err != nil {
			return nil, err
		}
		public, err := v.PublicInputs(k)
		if err != nil {
			return nil, err
		}
		b, err := p.prove(ctx, keys.PoRep(sh), c, public)
		if err != nil {
			return nil, fmt.Errorf("partition %d: %w", k, err)
		}
		out = append(out, b...)
	}
	return out, nil
}

// ProveUpdate proves all partitions of a replica update, 192 bytes each.
func (p *Prover) ProveUpdate(ctx context.Context, v update.Vanilla) ([]byte, error) {
	sh, err := shape.OfUpdate(v.UpdateProof)
	if err != nil {
		return nil, err
	}
	var out []byte
	for k := range sh.UpdatePartitions {
		c, err := circuit.NewUpdate(v, k)
		if err != nil {
			return nil, err
		}
		public, err := v.PublicInputs(k)
		if err != nil {
			return nil, err
		}
		b, err := p.prove(ctx, keys.Update(sh), c, public)
		if err != nil {
			return nil, fmt.Errorf("partition %d: %w", k, err)
		}
		out = append(out, b...)
	}
	return out, nil
}

// ProveWindowPoSt proves partitions of one window PoSt in order, 192 bytes each; first is the place of the first of them in
// the whole proof. Randomness is already a field element.
func (p *Prover) ProveWindowPoSt(ctx context.Context, randomness fr32.Node, first int, partitions []post.Partition) ([]byte, error) {
	var out []byte
	for k := range partitions {
		b, err := p.provePoSt(ctx, randomness, first+k, partitions[k])
		if err != nil {
			return nil, fmt.Errorf("partition %d: %w", first+k, err)
		}
		out = append(out, b...)
	}
	return out, nil
}

// ProveWinningPoSt proves a winning PoSt of one sector. Randomness is already a field element.
func (p *Prover) ProveWinningPoSt(ctx context.Context, randomness fr32.Node, partition post.Partition) ([]byte, error) {
	return p.provePoSt(ctx, randomness, 0, partition)
}

func (p *Prover) provePoSt(ctx context.Context, randomness fr32.Node, k int, part post.Partition) ([]byte, error) {
	sh, err := shape.OfPoSt(part.Proof)
	if err != nil {
		return nil, err
	}
	c, err := circuit.NewPoSt(part)
	if err != nil {
		return nil, err
	}
	public, err := post.PublicInputs(sh, randomness, k, part.Public())
	if err != nil {
		return nil, err
	}
	return p.prove(ctx, keys.PoSt(sh), c, public)
}

// Warm makes a circuit's prover ready, which its first proof would do: it derives the keys, or checks the parameter file,
// and on a private network makes a file that is missing.
func (p *Prover) Warm(ctx context.Context, id keys.Circuit) error {
	_, err := p.machine(ctx, id)
	return err
}

// prove makes one proof and verifies it against the statement's own public inputs, which the circuit did not see.
func (p *Prover) prove(ctx context.Context, id keys.Circuit, c groth16.Circuit, public []fr.Element) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m, err := p.machine(ctx, id)
	if err != nil {
		return nil, err
	}
	made, _, err := m.prover.Prove(c)
	if err != nil {
		return nil, fmt.Errorf("prove %s: %w", id.Title, err)
	}
	if err := m.verifier.Verify(groth16.Instance{Proof: *made, Inputs: public}); err != nil {
		return nil, fmt.Errorf("prove %s: vanilla proof belongs to another statement: %w", id.Title, err)
	}
	return made.Bytes(), nil
}

// machine is the ready prover of a circuit; a failure is not remembered, so that a file put into the cache is found.
func (p *Prover) machine(ctx context.Context, id keys.Circuit) (*machine, error) {
	return p.ready.Get(id.Identifier, func() (*machine, error) {
		made, key, err := p.start(ctx, id)
		if err != nil {
			return nil, err
		}
		return &machine{prover: made, verifier: groth16.Prepare(key)}, nil
	})
}
