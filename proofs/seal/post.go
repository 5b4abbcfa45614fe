package seal

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/ipfs/go-cid"
	logging "github.com/ipfs/go-log/v2"
	"golang.org/x/sync/errgroup"

	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/merkle"
	"github.com/filecoin-venus/venus/proofs/porep"
	"github.com/filecoin-venus/venus/proofs/post"
	"github.com/filecoin-venus/venus/proofs/shape"
)

var log = logging.Logger("seal")

// ErrNothingProvable is returned when every sector given to WindowPoSt is faulty.
var ErrNothingProvable = errors.New("no sector could be proven")

// SectorRef is a sealed sector to be proven: what the chain knows of it, and where its sealed file and cache lie.
type SectorRef struct {
	Sector
	SealedCID cid.Cid
	Paths     Paths
}

// WindowPoSt proves all sectors that can be proven, in ascending order of their numbers, each once however often it is
// given, and returns one proof that holds all partitions. Sectors whose files are missing, damaged or not read in time
// are left out and returned as faulty; the proof then is for the others. If all are faulty the error is
// ErrNothingProvable.
func (s *Sealer) WindowPoSt(ctx context.Context, miner abi.ActorID, sectors []SectorRef, randomness abi.PoStRandomness) ([]proof.PoStProof, []abi.SectorID, error) {
	return s.WindowPoStFrom(ctx, miner, 0, sectors, randomness)
}

// WindowPoStFrom is WindowPoSt for a part of a window proof: first is the place of its first partition in the whole proof,
// which is the parts' proofs one after the other. A part that leaves sectors out fits nowhere but at the end: others move up.
func (s *Sealer) WindowPoStFrom(ctx context.Context, miner abi.ActorID, first int, sectors []SectorRef, randomness abi.PoStRandomness) ([]proof.PoStProof, []abi.SectorID, error) {
	fail := func(faulty []abi.SectorID, err error) ([]proof.PoStProof, []abi.SectorID, error) {
		return nil, faulty, fmt.Errorf("window PoSt of miner %d: %w", miner, err)
	}
	if s.cfg.Prover == nil {
		return fail(nil, ErrNoProver)
	}
	sh, r, err := postInput(miner, sectors, randomness, abi.RegisteredSealProof.RegisteredWindowPoStProof)
	if err != nil {
		return fail(nil, err)
	}
	partitions, faulty, err := s.windowVanilla(ctx, sh, first, sectors, r)
	if err != nil {
		return fail(faulty, err)
	}
	b, err := s.cfg.Prover.ProveWindowPoSt(ctx, r, first, partitions)
	if err != nil {
		return fail(faulty, err)
	}
	return []proof.PoStProof{{PoStProof: sh.Type, ProofBytes: b}}, faulty, nil
}

// WinningPoSt proves the one challenged sector of a block.
func (s *Sealer) WinningPoSt(ctx context.Context, miner abi.ActorID, sectors []SectorRef, randomness abi.PoStRandomness) ([]proof.PoStProof, error) {
	fail := func(err error) ([]proof.PoStProof, error) {
		return nil, fmt.Errorf("winning PoSt of miner %d: %w", miner, err)
	}
	if s.cfg.Prover == nil {
		return fail(ErrNoProver)
	}
	if len(sectors) != 1 {
		return fail(fmt.Errorf("%w: %d sectors, want the one challenged", ErrInput, len(sectors)))
	}
	sh, r, err := postInput(miner, sectors, randomness, abi.RegisteredSealProof.RegisteredWinningPoStProof)
	if err != nil {
		return fail(err)
	}
	sp, err := s.proveSector(ctx, sh, r, 0, sectors[0])
	if err != nil {
		return fail(err)
	}
	b, err := s.cfg.Prover.ProveWinningPoSt(ctx, r, post.Partition{Proof: sh.Type, Sectors: []post.SectorProof{sp}})
	if err != nil {
		return fail(err)
	}
	return []proof.PoStProof{{PoStProof: sh.Type, ProofBytes: b}}, nil
}

// Commitment is the one that a sealed sector's cache speaks of. Nothing else is looked at.
func (s *Sealer) Commitment(paths Paths) (cid.Cid, error) {
	path := paths.cache(pAuxName)
	f, err := s.openSized(path, 2*fr32.NodeSize)
	if err != nil {
		return cid.Undef, err
	}
	defer f.Close() // opened for reading only
	commC, root, err := decodePAux(path, f)
	if err != nil {
		return cid.Undef, err
	}
	commR, err := porep.CommR(commC, root)
	if err != nil {
		return cid.Undef, fileError(path, "%w", err)
	}
	return commp.SealedCID(commR), nil
}

// CheckProvable opens the files of each sector as a PoSt would and returns what is wrong, by sector; sound sectors are not
// in the map. Slow also opens some leaves, under a fixed randomness.
func (s *Sealer) CheckProvable(ctx context.Context, sectors []SectorRef, slow bool) (map[abi.SectorID]string, error) {
	bad := make(map[abi.SectorID]string)
	for _, ref := range sectors {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := s.checkSector(ctx, ref, slow); err != nil {
			bad[ref.ID] = err.Error()
		}
	}
	return bad, ctx.Err()
}

func (s *Sealer) checkSector(ctx context.Context, ref SectorRef, slow bool) error {
	t, err := ref.Proof.RegisteredWindowPoStProof()
	if err != nil {
		return err
	}
	sh, err := shape.OfPoSt(t)
	if err != nil {
		return err
	}
	if slow {
		_, err = s.proveSector(ctx, sh, fr32.Node{}, 0, ref)
		return err
	}
	_, files, err := s.openReplica(sh, ref)
	files.close()
	return err
}

// postInput checks what all sectors of one proof share.
func postInput(miner abi.ActorID, sectors []SectorRef, randomness abi.PoStRandomness, typeOf func(abi.RegisteredSealProof) (abi.RegisteredPoStProof, error)) (shape.PoSt, fr32.Node, error) {
	r, err := post.Randomness(randomness)
	if err != nil {
		return shape.PoSt{}, r, fmt.Errorf("%w: %w", ErrInput, err)
	}
	if len(sectors) == 0 {
		return shape.PoSt{}, r, fmt.Errorf("%w: no sectors", ErrInput)
	}
	var first abi.RegisteredPoStProof
	for i, ref := range sectors {
		t, err := typeOf(ref.Proof)
		if err != nil {
			return shape.PoSt{}, r, fmt.Errorf("sector %d: %w", ref.ID.Number, err)
		}
		if i == 0 {
			first = t
		}
		if t != first || ref.ID.Miner != miner {
			return shape.PoSt{}, r, fmt.Errorf("%w: sector %s has PoSt type %d, the first one %d", ErrInput, ref.Sector, t, first)
		}
	}
	sh, err := shape.OfPoSt(first)
	return sh, r, err
}

// windowVanilla proves sectors until a round finds no new fault. Leaving a sector out moves the later ones, and under the
// older rule a sector's challenges depend on its place, so those are opened anew.
func (s *Sealer) windowVanilla(ctx context.Context, sh shape.PoSt, first int, sectors []SectorRef, r fr32.Node) ([]post.Partition, []abi.SectorID, error) {
	good := slices.Clone(sectors)
	slices.SortStableFunc(good, func(a, b SectorRef) int { return cmp.Compare(a.ID.Number, b.ID.Number) })
	good = slices.CompactFunc(good, func(a, b SectorRef) bool { return a.ID == b.ID })
	var faulty []abi.SectorID
	done := make(map[abi.SectorID]placed, len(good))
	for len(good) > 0 {
		results, err := s.windowRound(ctx, sh, r, first*sh.Sectors, good, done)
		if err != nil {
			return nil, nil, err
		}
		before := len(good)
		for i, ref := range good {
			if results[i].err != nil {
				log.Warnw("sector cannot be proven", "sector", ref.Sector, "error", results[i].err)
				faulty = append(faulty, ref.ID)
			} else {
				done[ref.ID] = results[i]
			}
		}
		good = slices.DeleteFunc(good, func(ref SectorRef) bool { return slices.Contains(faulty, ref.ID) })
		if len(good) == before {
			break
		}
	}
	slices.SortFunc(faulty, func(a, b abi.SectorID) int { return cmp.Compare(a.Number, b.Number) })
	if len(good) == 0 {
		return nil, faulty, ErrNothingProvable
	}
	var parts []post.Partition
	for chunk := range slices.Chunk(good, sh.Sectors) {
		part := post.Partition{Proof: sh.Type}
		for _, ref := range chunk {
			part.Sectors = append(part.Sectors, done[ref.ID].proof)
		}
		parts = append(parts, part)
	}
	return parts, faulty, nil
}

// placed is the outcome for one sector at its place in the whole proof.
type placed struct {
	position int
	proof    post.SectorProof
	err      error
}

// openings is how many sectors are opened at once where there are fewer cores: most of it is waiting for disks, and those
// that answer slowly should wait side by side.
const openings = 32

// windowRound opens all sectors at their places from one on; outcomes in done that still fit are taken over. Its error is only that of
// the context.
func (s *Sealer) windowRound(ctx context.Context, sh shape.PoSt, r fr32.Node, from int, good []SectorRef, done map[abi.SectorID]placed) ([]placed, error) {
	out := make([]placed, len(good))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(runtime.GOMAXPROCS(0), openings))
	for i, ref := range good {
		if p, ok := done[ref.ID]; ok && (p.position == from+i || sh.Version == shape.V1_2) {
			out[i] = p
			continue
		}
		group.Go(func() error {
			sp, err := s.proveSector(ctx, sh, r, from+i, ref)
			out[i] = placed{position: from + i, proof: sp, err: err}
			return ctx.Err()
		})
	}
	return out, group.Wait()
}

// ErrSlow is returned for a sector that could not be opened within Config.SectorTimeout.
var ErrSlow = errors.New("could not be read")

// proveSector opens a sector for a proof. It returns at the time-out and when ctx ends, whatever its reads do.
func (s *Sealer) proveSector(ctx context.Context, sh shape.PoSt, r fr32.Node, position int, ref SectorRef) (post.SectorProof, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan placed, 1)
	go func() {
		sp, err := s.openSector(ctx, sh, r, position, ref)
		done <- placed{proof: sp, err: err}
	}()
	var late <-chan time.Time
	if s.cfg.SectorTimeout > 0 {
		t := s.cfg.Clock.NewTimer(s.cfg.SectorTimeout)
		defer t.Stop()
		late = t.C()
	}
	select {
	case p := <-done:
		return p.proof, p.err
	case <-late:
		return post.SectorProof{}, fileError(ref.Paths.Sealed, "%w within %s, with its cache", ErrSlow, s.cfg.SectorTimeout)
	case <-ctx.Done():
		return post.SectorProof{}, ctx.Err()
	}
}

func (s *Sealer) openSector(ctx context.Context, sh shape.PoSt, r fr32.Node, position int, ref SectorRef) (sp post.SectorProof, err error) {
	// Files of a sector come from disks and other programs: whatever is in them must not end the sealer.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("prove sector %d: panic: %v", ref.ID.Number, p)
		}
	}()
	replica, files, err := s.openReplica(sh, ref)
	defer func() { files.close() }()
	if err != nil {
		return sp, err
	}
	return post.ProveSector(ctx, sh, r, position, replica)
}

// openReplica opens a sector at rest and checks sizes and commitments.
func (s *Sealer) openReplica(sh shape.PoSt, ref SectorRef) (r post.Replica, files opened, err error) {
	r.Number = ref.ID.Number
	if r.CommR, err = commp.FromSealedCID(ref.SealedCID); err != nil {
		return r, nil, err
	}
	open := func(path string, size int64) (io.ReaderAt, error) {
		f, err := s.openSized(path, size)
		if err == nil {
			files = append(files, f)
		}
		return f, err
	}
	aux, err := open(ref.Paths.cache(pAuxName), 2*fr32.NodeSize)
	if err != nil {
		return r, files, err
	}
	if r.CommC, r.CommRLast, err = decodePAux(ref.Paths.cache(pAuxName), aux); err != nil {
		return r, files, err
	}
	commR, err := porep.CommR(r.CommC, r.CommRLast)
	if err != nil || commR != r.CommR {
		return r, files, fileError(ref.Paths.cache(pAuxName), "gives CommR %s, the chain has %s: %w", commR, r.CommR, errors.Join(err, post.ErrProof))
	}
	sealed, err := open(ref.Paths.Sealed, int64(sh.Size))
	if err != nil {
		return r, files, err
	}
	if r.Tree, err = octree(ref.Paths, "tree-r-last", sh.Tree, sh.Tree.DiscardedRows()+1, sealed, open); err != nil {
		return r, files, err
	}
	root, err := r.Tree.Root()
	if err == nil && root != r.CommRLast {
		err = fileError(ref.Paths.octreeFiles("tree-r-last", sh.Tree)[0], "root is %s, p_aux says %s", root, r.CommRLast)
	}
	return r, files, err
}

// CheckReplica reads a whole sealed file, builds its tree anew and compares it with the tree at rest and with the
// commitment on chain: every bit that a proof may ask for. It costs about what building the replica tree cost.
func (s *Sealer) CheckReplica(ctx context.Context, ref SectorRef) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("check replica of sector %d: panic: %v", ref.ID.Number, p)
		}
	}()
	t, err := ref.Proof.RegisteredWindowPoStProof()
	if err != nil {
		return err
	}
	sh, err := shape.OfPoSt(t)
	if err != nil {
		return err
	}
	replica, files, err := s.openReplica(sh, ref)
	defer func() { files.close() }()
	if err != nil {
		return err
	}
	m := s.meter(ref.Sector, "check replica", uint64(sh.Size))
	first := sh.Tree.DiscardedRows() + 1
	rows := make([]merkle.File, len(replica.Tree.Files))
	for i := range rows {
		rows[i] = make(merkle.Memory, merkle.OctreeSize(sh.Tree, first))
	}
	root, err := merkle.BuildOctrees(ctx, sh.Tree, first, rows, func() (merkle.FillLeaves, error) {
		return func(start uint64, dst []byte) error {
			if _, err := replica.Tree.Leaves.ReadAt(dst, int64(start)*fr32.NodeSize); err != nil {
				return fileError(ref.Paths.Sealed, "%w", err)
			}
			m.add(uint64(len(dst)))
			return nil
		}, nil
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, ErrFile):
		return err
	case err != nil: // what it holds are no nodes
		return fileError(ref.Paths.Sealed, "%w", err)
	case root != replica.CommRLast:
		return fileError(ref.Paths.Sealed, "its tree has root %s, p_aux says %s: the file is damaged", root, replica.CommRLast)
	}
	for i, path := range ref.Paths.octreeFiles("tree-r-last", sh.Tree) {
		if err := sameRows(path, rows[i].(merkle.Memory), replica.Tree.Files[i]); err != nil {
			return err
		}
	}
	return nil
}

// sameRows compares a tree file with the rows that it must hold.
func sameRows(path string, want merkle.Memory, have io.ReaderAt) error {
	buf := make([]byte, 1<<20)
	for at := 0; at < len(want); at += len(buf) {
		n := min(len(buf), len(want)-at)
		if _, err := have.ReadAt(buf[:n], int64(at)); err != nil {
			return fileError(path, "%w", err)
		}
		if !bytes.Equal(buf[:n], want[at:at+n]) {
			return fileError(path, "differs from the tree of the sealed file within %d bytes of offset %d: the file is damaged", n, at)
		}
	}
	return nil
}
