package service

import (
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/sealer/store"
	"github.com/filecoin-venus/venus/worker"
)

// replica finds the files of a sector that have a commitment. One that takes data in has two replicas until its update is
// final: which of them is proven is the chain's choice, not a record's.
func replica(st *store.Store, sealer *seal.Sealer, sec seal.Sector, sealed cid.Cid) (seal.SectorRef, error) {
	ref := seal.SectorRef{Sector: sec, SealedCID: sealed}
	f, kerr := st.Find(sec.ID, store.Sealed, store.Cache)
	key := worker.Files(f).Key()
	f, uerr := st.Find(sec.ID, store.Update, store.UpdateCache)
	switch updated := worker.Files(f).Updated(); {
	case uerr != nil:
		ref.Paths = key
		return ref, kerr
	case kerr != nil, has(sealer, updated, sealed), !has(sealer, key, sealed):
		ref.Paths = updated
	default:
		ref.Paths = key
	}
	return ref, nil
}

// has tells whether a cache belongs to a replica of a commitment.
func has(sealer *seal.Sealer, paths seal.Paths, sealed cid.Cid) bool {
	c, err := sealer.Commitment(paths)
	return err == nil && c.Equals(sealed)
}
