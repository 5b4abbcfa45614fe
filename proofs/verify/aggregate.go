package verify

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/filecoin-project/go-state-types/proof"
	"golang.org/x/sync/errgroup"

	"github.com/filecoin-venus/venus/proofs/groth16"
	"github.com/filecoin-venus/venus/proofs/groth16/snarkpack"
	keys "github.com/filecoin-venus/venus/proofs/params"
	"github.com/filecoin-venus/venus/proofs/porep"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// VerifyAggregateSeals checks one aggregate of the proofs of replication of many sectors, in the order in which they are
// listed. Bytes behind the aggregate are ignored, as Filecoin's verifier ignores them.
func (v *Verifier) VerifyAggregateSeals(ctx context.Context, info proof.AggregateSealVerifyProofAndInfos) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	c, err := guard(func() (*aggregateClaim, error) { return readAggregate(info) })
	if err == nil {
		c.Inputs, err = publicInputs(ctx, c.sectors)
	}
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case err != nil:
		log.Debugw("aggregate of seals refused", "miner", info.Miner, "sectors", len(info.Infos), "reason", err)
		return false, nil
	}
	key, err := v.key(c.circuit)
	if err != nil {
		return false, err
	}
	verifier, err := v.aggregation()
	if err != nil {
		return false, err
	}
	_, err = guard(func() (struct{}, error) { return struct{}{}, verifier.Verify(key, c.Statement, c.proof) })
	switch {
	case errors.Is(err, snarkpack.ErrInvalid), errors.Is(err, groth16.ErrInvalid), errors.Is(err, errPanic):
		log.Debugw("aggregate of seals refused", "miner", info.Miner, "sectors", len(info.Infos), "reason", err)
		return false, nil
	case err != nil:
		return false, err
	}
	return true, nil
}

// aggregateClaim is a parsed aggregate with its statement.
type aggregateClaim struct {
	circuit keys.Circuit
	sectors porep.Aggregate
	proof   *snarkpack.Proof
	snarkpack.Statement
}

func readAggregate(info proof.AggregateSealVerifyProofAndInfos) (*aggregateClaim, error) {
	version, err := snarkpack.VersionOf(info.AggregateProof)
	if err != nil {
		return nil, err
	}
	sh, err := shape.OfSeal(info.SealProof)
	if err != nil {
		return nil, err
	}
	size, err := snarkpack.Length(info.Proof)
	if err != nil {
		return nil, err
	}
	if n := len(info.Infos) * sh.Partitions; size != snarkpack.Size(snarkpack.Padded(n)) {
		return nil, fmt.Errorf("aggregate of another number of proofs than %d", n)
	}
	p, err := snarkpack.Parse(info.Proof[:min(size, len(info.Proof))])
	if err != nil {
		return nil, err
	}
	sectors, err := porep.AggregateOf(info)
	if err != nil {
		return nil, err
	}
	digest := sectors.Digest()
	return &aggregateClaim{
		circuit: keys.PoRep(sh), sectors: sectors, proof: p,
		Statement: snarkpack.Statement{Version: version, Message: digest[:]},
	}, nil
}

// publicInputs computes the inputs of all proofs, which takes most of the time when there are many.
func publicInputs(ctx context.Context, sectors porep.Aggregate) ([][]fr.Element, error) {
	n, err := sectors.NumProofs()
	if err != nil {
		return nil, err
	}
	out := make([][]fr.Element, n)
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for k := range out {
		group.Go(func() (err error) {
			if err := running.Err(); err != nil {
				return err
			}
			out[k], err = guard(func() ([]fr.Element, error) { return sectors.PublicInputs(k) })
			return err
		})
	}
	return out, group.Wait()
}

// aggregation is the verifier of aggregates; a failure is not remembered, so that a file put into the cache is found.
func (v *Verifier) aggregation() (*snarkpack.Verifier, error) {
	return v.aggregates.Get(struct{}{}, func() (*snarkpack.Verifier, error) {
		k, err := v.source.AggregationKey()
		if err != nil {
			return nil, err
		}
		return snarkpack.NewVerifier(k), nil
	})
}
