// Package verify is the door through which nodes check proofs: seals one by one, in batches and aggregated, window and
// winning PoSt, replica updates.
//
// Start at [New]. Verdicts are booleans: false means that the proof does not hold, for whatever reason lies in the proof
// or in its statement; an error means that this machine cannot tell, because a verifying key is missing or the context
// ended, and must never be held against the prover.
//
// Invariant: nothing here imports a prover. The keys of public networks are Filecoin's own files; those of private
// networks follow from the network's proof seed when they are first used.
package verify

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/ipfs/go-cid"
	logging "github.com/ipfs/go-log/v2"
	"golang.org/x/sync/errgroup"

	"github.com/filecoin-venus/venus/internal/lazy"
	"github.com/filecoin-venus/venus/internal/procs"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/groth16"
	"github.com/filecoin-venus/venus/proofs/groth16/snarkpack"
	keys "github.com/filecoin-venus/venus/proofs/params"
	"github.com/filecoin-venus/venus/proofs/porep"
	"github.com/filecoin-venus/venus/proofs/post"
	"github.com/filecoin-venus/venus/proofs/shape"
	"github.com/filecoin-venus/venus/proofs/update"
)

var log = logging.Logger("proofs/verify")

// KeySource gives the verifying key of a circuit, and what aggregates of its proofs are checked with.
type KeySource interface {
	VerifyingKey(c keys.Circuit) (*groth16.VerifyingKey, error)
	AggregationKey() (*snarkpack.Key, error)
}

// Verifier checks proofs of one network. Safe for concurrent use.
type Verifier struct {
	source     KeySource
	keys       lazy.Map[string, *groth16.PreparedKey]
	aggregates lazy.Map[struct{}, *snarkpack.Verifier]
}

// New makes the verifier of a network. Dir is the parameter cache; empty means the machine's, see package proofs/params.
func New(network params.Network, dir string) *Verifier {
	if dir == "" {
		dir = keys.CacheDir()
	}
	if network.Devnet {
		return NewWithKeys(keys.NewDevnet(network.ProofSeed, dir))
	}
	return NewWithKeys(keys.NewOfficial(dir))
}

// NewWithKeys makes a verifier that takes its keys from source.
func NewWithKeys(source KeySource) *Verifier {
	return &Verifier{source: source}
}

// Warm loads or derives the keys of the given sector sizes, so that no later verification waits for them; an error names
// the first that cannot be had. Keys of replica updates and of aggregates come last, and the log tells if one is missing:
// miners can live without. Meant for a goroutine at start.
func (v *Verifier) Warm(ctx context.Context, sizes ...abi.SectorSize) error {
	for _, size := range sizes {
		for _, c := range circuitsOf(size) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if _, err := v.key(c); err != nil {
				return err
			}
		}
	}
	for _, size := range sizes {
		if err := ctx.Err(); err != nil {
			return err
		}
		if c, ok := updateOf(size); ok {
			if _, err := v.key(c); err != nil {
				log.Warnw("replica updates cannot be judged yet", "reason", err)
			}
		}
	}
	if _, err := v.aggregation(); err != nil {
		log.Warnw("aggregated seals cannot be judged yet", "reason", err)
	}
	return nil
}

// circuitsOf lists the circuits that sectors of a size cannot live without, the most urgent first.
func circuitsOf(size abi.SectorSize) (out []keys.Circuit) {
	for t := abi.RegisteredPoStProof_StackedDrgWinning2KiBV1; t <= abi.RegisteredPoStProof_StackedDrgWindow64GiBV1; t++ {
		if p, err := shape.OfPoSt(t); err == nil && p.Size == size {
			out = append(out, keys.PoSt(p))
		}
	}
	for t := abi.RegisteredSealProof_StackedDrg2KiBV1; t <= abi.RegisteredSealProof_StackedDrg64GiBV1; t++ {
		if s, err := shape.OfSeal(t); err == nil && s.Size == size {
			out = append(out, keys.PoRep(s))
		}
	}
	return out
}

// updateOf is the circuit of replica updates of a sector size.
func updateOf(size abi.SectorSize) (keys.Circuit, bool) {
	for t := abi.RegisteredUpdateProof_StackedDrg2KiBV1; t <= abi.RegisteredUpdateProof_StackedDrg64GiBV1; t++ {
		if u, err := shape.OfUpdate(t); err == nil && u.Size == size {
			return keys.Update(u), true
		}
	}
	return keys.Circuit{}, false
}

// key is the prepared key of c; a failure is not remembered, so that a file put into the cache is found.
func (v *Verifier) key(c keys.Circuit) (*groth16.PreparedKey, error) {
	return v.keys.Get(c.Identifier, func() (*groth16.PreparedKey, error) {
		vk, err := v.source.VerifyingKey(c)
		if err != nil {
			return nil, err
		}
		return groth16.Prepare(vk), nil
	})
}

// VerifySeal checks one proof of replication.
func (v *Verifier) VerifySeal(ctx context.Context, info proof.SealVerifyInfo) (bool, error) {
	verdicts, err := v.VerifySealBatch(ctx, []proof.SealVerifyInfo{info})
	if err != nil {
		return false, err
	}
	return verdicts[0], nil
}

// VerifySealBatch checks many proofs of replication together, which costs a fraction of one by one, and answers for each
// in order.
func (v *Verifier) VerifySealBatch(ctx context.Context, infos []proof.SealVerifyInfo) ([]bool, error) {
	claims := make([]*claim, len(infos))
	read := func(i int) {
		c, err := guard(func() (*claim, error) { return parsed(sealClaim(infos[i])) })
		if err != nil {
			log.Debugw("seal refused", "sector", infos[i].SectorID, "reason", err)
			return
		}
		claims[i] = c
	}
	if len(infos) == 1 { // waking another core takes a tenth of the whole
		read(0)
		return v.judge(ctx, claims)
	}
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range infos {
		group.Go(func() error {
			if err := running.Err(); err != nil {
				return err
			}
			read(i)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return v.judge(ctx, claims)
}

// VerifyWindowPoSt checks a window PoSt of one proof type: the partitions' proofs one after the other.
func (v *Verifier) VerifyWindowPoSt(ctx context.Context, info proof.WindowPoStVerifyInfo) (bool, error) {
	return v.VerifyWindowPoStFrom(ctx, 0, info)
}

// VerifyWindowPoStFrom checks a part of a window PoSt; first is the place of its first partition in the whole proof.
func (v *Verifier) VerifyWindowPoStFrom(ctx context.Context, first int, info proof.WindowPoStVerifyInfo) (bool, error) {
	verdicts, err := v.verifyPoSts(ctx, false, first, proof.WinningPoStVerifyInfo(info))
	return err == nil && verdicts[0], err
}

// VerifyWinningPoSt checks the proof in a block header over the sectors that were to be proven.
func (v *Verifier) VerifyWinningPoSt(ctx context.Context, info proof.WinningPoStVerifyInfo) (bool, error) {
	verdicts, err := v.verifyPoSts(ctx, true, 0, info)
	return err == nil && verdicts[0], err
}

// VerifyWinningPoStBatch answers for each info in order; those of one circuit are verified together.
func (v *Verifier) VerifyWinningPoStBatch(ctx context.Context, infos []proof.WinningPoStVerifyInfo) ([]bool, error) {
	return v.verifyPoSts(ctx, true, 0, infos...)
}

// verifyPoSts takes statements of either kind; their types have the same fields.
func (v *Verifier) verifyPoSts(ctx context.Context, winning bool, first int, infos ...proof.WinningPoStVerifyInfo) ([]bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	claims := make([]*claim, len(infos))
	for i, info := range infos {
		c, err := guard(func() (*claim, error) {
			return postClaim(winning, first, info.Randomness, info.Proofs, info.ChallengedSectors)
		})
		if err != nil {
			log.Debugw("PoSt refused", "miner", info.Prover, "winning", winning, "reason", err)
			continue
		}
		claims[i] = c
	}
	for i, err := range parseAll(claims) {
		if err != nil {
			log.Debugw("PoSt refused", "miner", infos[i].Prover, "winning", winning, "reason", err)
			claims[i] = nil
		}
	}
	return v.judge(ctx, claims)
}

// VerifyReplicaUpdate checks the proof that a sector's replica took new data in.
func (v *Verifier) VerifyReplicaUpdate(ctx context.Context, info proof.ReplicaUpdateInfo) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	c, err := guard(func() (*claim, error) { return parsed(updateClaim(info)) })
	if err != nil {
		log.Debugw("replica update refused", "replica", info.OldSealedSectorCID, "reason", err)
		return false, nil
	}
	verdicts, err := v.judge(ctx, []*claim{c})
	if err != nil {
		return false, err
	}
	return verdicts[0], nil
}

// WinningPoStChallenge picks the sector that a winning PoSt must prove, as an index into the miner's ordered set of
// eligible active sectors. Randomness is the chain's; it is made a field element here.
func WinningPoStChallenge(miner abi.ActorID, randomness abi.PoStRandomness, eligible uint64) ([]uint64, error) {
	if eligible == 0 {
		return nil, nil
	}
	r, err := post.Randomness(randomness)
	if err != nil {
		return nil, err
	}
	prover, err := porep.ProverID(miner)
	if err != nil {
		return nil, err
	}
	return []uint64{post.ChallengedSector(prover, r, 0, eligible)}, nil
}

// UnsealedCID is the data commitment of a sector that starts with the given pieces and is zero behind them.
func UnsealedCID(t abi.RegisteredSealProof, pieces []abi.PieceInfo) (cid.Cid, error) {
	return commp.UnsealedCID(t, pieces)
}

// claim is a proof with its public inputs, one instance per partition; the instances' proofs are raw until parse reads them.
type claim struct {
	circuit   keys.Circuit
	raw       []byte
	instances []groth16.Instance
}

// newClaim takes the public inputs of each partition k.
func newClaim(circuit keys.Circuit, raw []byte, partitions int, inputs func(k int) ([]fr.Element, error)) (*claim, error) {
	if len(raw) != partitions*groth16.ProofSize {
		return nil, fmt.Errorf("proof of %d bytes, want %d partitions of %d: %w", len(raw), partitions, groth16.ProofSize, groth16.ErrEncoding)
	}
	c := &claim{circuit: circuit, raw: raw, instances: make([]groth16.Instance, partitions)}
	for k := range c.instances {
		var err error
		if c.instances[k].Inputs, err = inputs(k); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// parse reads the proofs of claims together; a nil claim is refused already. Of each that has one which is none, the error says
// why.
func parse(claims ...*claim) []error {
	errs := make([]error, len(claims))
	var raw [][]byte
	for _, c := range claims {
		if c != nil {
			raw = slices.AppendSeq(raw, slices.Chunk(c.raw, groth16.ProofSize))
		}
	}
	proofs, failed := groth16.ParseEach(raw)
	for i, c := range claims {
		if c == nil {
			continue
		}
		for k := range c.instances {
			if c.instances[k].Proof = proofs[k]; failed[k] != nil && errs[i] == nil {
				errs[i] = fmt.Errorf("partition %d: %w", k, failed[k])
			}
		}
		proofs, failed = proofs[len(c.instances):], failed[len(c.instances):]
	}
	return errs
}

// parseAll is parse that contains a panic over foreign bytes: to the claim that caused it.
func parseAll(claims []*claim) []error {
	errs, err := guard(func() ([]error, error) { return parse(claims...), nil })
	if err == nil {
		return errs
	}
	errs = make([]error, len(claims))
	for i, c := range claims {
		if c != nil {
			_, errs[i] = guard(func() (*claim, error) { return parsed(c, nil) })
		}
	}
	return errs
}

// parsed is a claim that stands alone, with its proofs read.
func parsed(c *claim, err error) (*claim, error) {
	if err == nil {
		err = parse(c)[0]
	}
	return c, err
}

func sealClaim(info proof.SealVerifyInfo) (*claim, error) {
	sh, err := shape.OfSeal(info.SealProof)
	if err != nil {
		return nil, err
	}
	st, err := porep.StatementOf(info)
	if err != nil {
		return nil, err
	}
	return newClaim(keys.PoRep(sh), info.Proof, sh.Partitions, st.PublicInputs)
}

func updateClaim(info proof.ReplicaUpdateInfo) (*claim, error) {
	st, err := update.StatementOf(info)
	if err != nil {
		return nil, err
	}
	sh, err := shape.OfUpdate(st.UpdateProof)
	if err != nil {
		return nil, err
	}
	return newClaim(keys.Update(sh), info.Proof, sh.UpdatePartitions, st.PublicInputs)
}

func postClaim(winning bool, first int, r abi.PoStRandomness, proofs []proof.PoStProof, sectors []proof.SectorInfo) (*claim, error) {
	if len(proofs) != 1 {
		return nil, fmt.Errorf("%d proofs, want exactly one", len(proofs))
	}
	sh, err := shape.OfPoSt(proofs[0].PoStProof)
	if err != nil {
		return nil, err
	}
	if sh.Winning != winning {
		return nil, fmt.Errorf("proof type %d is of the other kind of PoSt", proofs[0].PoStProof)
	}
	randomness, err := post.Randomness(r)
	if err != nil {
		return nil, err
	}
	public, err := publicSectors(sh, sectors)
	if err != nil {
		return nil, err
	}
	if winning && len(public) != 1 {
		return nil, fmt.Errorf("winning PoSt over %d sectors, want exactly one", len(public))
	}
	partitions := (len(public) + sh.Sectors - 1) / sh.Sectors
	return newClaim(keys.PoSt(sh), proofs[0].ProofBytes, partitions, func(k int) ([]fr.Element, error) {
		part := public[k*sh.Sectors : min((k+1)*sh.Sectors, len(public))]
		return post.PublicInputs(sh, randomness, first+k, part)
	})
}

// publicSectors reads the sectors in ascending order. A sector listed again counts once: the actors put a sound sector in
// the place of each faulty one. Sectors of another size than the proof are refused.
func publicSectors(sh shape.PoSt, sectors []proof.SectorInfo) ([]post.PublicSector, error) {
	if len(sectors) == 0 {
		return nil, errors.New("no sectors to prove")
	}
	out := make([]post.PublicSector, len(sectors))
	for i, s := range sectors {
		size, err := s.SealProof.SectorSize()
		if err != nil || size != sh.Size {
			return nil, fmt.Errorf("sector %d has seal proof type %d, PoSt is for sectors of %s", s.SectorNumber, s.SealProof, sh.Size.ShortString())
		}
		commR, err := commp.FromSealedCID(s.SealedCID)
		if err != nil {
			return nil, fmt.Errorf("sector %d: %w", s.SectorNumber, err)
		}
		out[i] = post.PublicSector{Number: s.SectorNumber, CommR: commR}
	}
	slices.SortFunc(out, func(a, b post.PublicSector) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), bytes.Compare(a.CommR[:], b.CommR[:]))
	})
	out = slices.Compact(out)
	for i := 1; i < len(out); i++ {
		if out[i].Number == out[i-1].Number {
			return nil, fmt.Errorf("sector %d is listed with two commitments", out[i].Number)
		}
	}
	return out, nil
}

// judge verifies parsed claims, all of one circuit together; a nil claim is refused already.
func (v *Verifier) judge(ctx context.Context, claims []*claim) ([]bool, error) {
	verdicts := make([]bool, len(claims))
	groups := map[string][]int{}
	for i, c := range claims {
		if c != nil {
			groups[c.circuit.Identifier] = append(groups[c.circuit.Identifier], i)
		}
	}
	for _, members := range groups {
		key, err := v.key(claims[members[0]].circuit)
		if err != nil {
			return nil, err
		}
		j := &jury{key: key, claims: claims, verdicts: verdicts}
		proofs := 0
		for _, m := range members {
			proofs += len(claims[m].instances)
		}
		workers := min(procs.Cores(), proofs/minShare, len(members))
		if workers <= 1 {
			if err := j.decide(ctx, members); err != nil {
				return nil, err
			}
			continue
		}
		group, running := errgroup.WithContext(ctx)
		for w := range workers {
			share := members[w*len(members)/workers : (w+1)*len(members)/workers]
			group.Go(func() error { return j.decide(running, share) })
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
	}
	return verdicts, nil
}

// minShare is the smallest number of proofs worth a worker of its own: to combine their inputs, and to judge the product of their
// pairings, takes it as long as to look at two dozen.
const minShare = 32

type jury struct {
	key      *groth16.PreparedKey
	claims   []*claim
	verdicts []bool
}

// decide finds the verdicts of members: together if all hold, else by halves.
func (j *jury) decide(ctx context.Context, members []int) error {
	if len(members) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var all []groth16.Instance
	for _, m := range members {
		all = append(all, j.claims[m].instances...)
	}
	_, err := guard(func() (struct{}, error) { return struct{}{}, j.key.Verify(all...) })
	switch {
	case err == nil:
		for _, m := range members {
			j.verdicts[m] = true
		}
	case !errors.Is(err, groth16.ErrInvalid) && !errors.Is(err, errPanic):
		return err
	case len(members) > 1:
		half := len(members) / 2
		if err := j.decide(ctx, members[:half]); err != nil {
			return err
		}
		return j.decide(ctx, members[half:])
	}
	return nil
}

var errPanic = errors.New("verification panicked")

// guard turns a panic over foreign input into an error.
func guard[T any](f func() (T, error)) (out T, err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Errorw("panic while verifying", "panic", p)
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	return f()
}
