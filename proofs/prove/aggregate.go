package prove

import (
	"context"
	"fmt"
	"os"

	"github.com/filecoin-project/go-state-types/proof"

	"github.com/filecoin-venus/venus/internal/lazy"
	"github.com/filecoin-venus/venus/proofs/groth16"
	"github.com/filecoin-venus/venus/proofs/groth16/prover/aggregate"
	"github.com/filecoin-venus/venus/proofs/groth16/snarkpack"
	keys "github.com/filecoin-venus/venus/proofs/params"
	"github.com/filecoin-venus/venus/proofs/porep"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// AggregateSeals makes one proof of the proofs of replication of many sectors: proofs[i], as ProvePoRep returns it, is
// that of info.Infos[i]. The order binds; the chain lists sectors by ascending number. Info.Proof is not looked at.
// A proof that does not hold for its sector gives an error that names the sector.
func (p *Prover) AggregateSeals(ctx context.Context, info proof.AggregateSealVerifyProofAndInfos, proofs [][]byte) ([]byte, error) {
	version, err := snarkpack.VersionOf(info.AggregateProof)
	if err != nil {
		return nil, err
	}
	sh, err := shape.OfSeal(info.SealProof)
	if err != nil {
		return nil, err
	}
	key, err := p.aggregator.key(keys.PoRep(sh))
	if err != nil {
		return nil, err
	}
	digest, instances, err := checkSeals(ctx, key, info, proofs)
	if err != nil {
		return nil, err
	}
	parts := make([]groth16.Proof, len(instances))
	st := snarkpack.Statement{Version: version, Message: digest[:]}
	for i := range instances {
		parts[i] = instances[i].Proof
		st.Inputs = append(st.Inputs, instances[i].Inputs)
	}
	with, err := p.aggregator.press(ctx, len(parts))
	if err != nil {
		return nil, err
	}
	made, err := with.keys.Aggregate(ctx, version, digest[:], parts)
	if err != nil {
		return nil, err
	}
	if err := with.verifier.Verify(key, st, made); err != nil {
		return nil, fmt.Errorf("aggregate of %d proofs: %w", len(parts), err)
	}
	return made.Bytes()
}

// checkSeals reads the sectors' proofs and checks each sector's.
func checkSeals(ctx context.Context, key *groth16.PreparedKey, info proof.AggregateSealVerifyProofAndInfos, proofs [][]byte) (digest [32]byte, out []groth16.Instance, err error) {
	if len(proofs) != len(info.Infos) {
		return digest, nil, fmt.Errorf("%d proofs for %d sectors", len(proofs), len(info.Infos))
	}
	sectors, err := porep.AggregateOf(info)
	if err != nil {
		return digest, nil, err
	}
	n, err := sectors.NumProofs()
	if err != nil {
		return digest, nil, err
	}
	partitions := n / len(sectors)
	for i := range sectors {
		number := info.Infos[i].Number
		if err := ctx.Err(); err != nil {
			return digest, nil, err
		}
		parsed, err := groth16.ParseProofs(proofs[i], partitions)
		if err != nil {
			return digest, nil, fmt.Errorf("sector %d: %w", number, err)
		}
		for k := range parsed {
			inputs, err := sectors[i].PublicInputs(k)
			if err != nil {
				return digest, nil, fmt.Errorf("sector %d: %w", number, err)
			}
			out = append(out, groth16.Instance{Proof: parsed[k], Inputs: inputs})
		}
		if err := key.Verify(out[i*partitions:]...); err != nil {
			return digest, nil, fmt.Errorf("sector %d: %w", number, err)
		}
	}
	return sectors.Digest(), out, nil
}

// aggregator has the keys that aggregates are made and checked with.
type aggregator struct {
	verifyingKey   func(c keys.Circuit) (*groth16.VerifyingKey, error)
	commitmentKeys func(ctx context.Context, n int) (*aggregate.Keys, error)

	prepared lazy.Map[string, *groth16.PreparedKey]
	ready    lazy.Map[int, *press]
}

// press makes aggregates of one number of proofs.
type press struct {
	keys     *aggregate.Keys
	verifier *snarkpack.Verifier
}

// seeded takes keys that follow from a private network's seed.
func seeded(d *keys.Devnet) *aggregator {
	return &aggregator{verifyingKey: d.VerifyingKey, commitmentKeys: func(_ context.Context, n int) (*aggregate.Keys, error) {
		secret, err := d.AggregationSecret()
		if err != nil {
			return nil, err
		}
		return aggregate.FromSecret(secret, n), nil
	}}
}

// filed takes Filecoin's keys, of which it reads no more than it needs.
func filed(o *keys.Official) *aggregator {
	return &aggregator{verifyingKey: o.VerifyingKey, commitmentKeys: func(ctx context.Context, n int) (*aggregate.Keys, error) {
		path, err := o.AggregationFile(ctx)
		if err != nil {
			return nil, err
		}
		file, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("commitment keys of aggregates: %w", err)
		}
		defer file.Close()
		return aggregate.ReadKeys(file, n)
	}}
}

// key is the prepared verifying key of c; a failure is not remembered, so that a file put into the cache is found.
func (a *aggregator) key(c keys.Circuit) (*groth16.PreparedKey, error) {
	return a.prepared.Get(c.Identifier, func() (*groth16.PreparedKey, error) {
		vk, err := a.verifyingKey(c)
		if err != nil {
			return nil, err
		}
		return groth16.Prepare(vk), nil
	})
}

// press is what makes aggregates of n proofs and those that fill them up.
func (a *aggregator) press(ctx context.Context, n int) (*press, error) {
	n = snarkpack.Padded(n)
	if n > snarkpack.MaxProofs {
		return nil, fmt.Errorf("%w: an aggregate has at most %d", aggregate.ErrCount, snarkpack.MaxProofs)
	}
	return a.ready.Get(n, func() (*press, error) {
		k, err := a.commitmentKeys(ctx, n)
		if err != nil {
			return nil, err
		}
		return &press{keys: k, verifier: snarkpack.NewVerifier(k.VerifierKey())}, nil
	})
}
