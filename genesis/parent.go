package genesis

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"

	"github.com/filecoin-venus/venus/ipld"
)

// parentObject is the fixed parent of every genesis block, a note in CBOR. It
// is no header: never load the parents of height 0 as one.
const parentObject = "\xa5" +
	"\x68Datetime" + "\x732017-05-05 01:27:51" +
	"\x67Network" + "\x68Filecoin" +
	"\x65Token" + "\x68Filecoin" +
	"\x6cTokenAmounts" + "\xa3" +
	"\x6bTotalSupply" + "\x6d2,000,000,000" +
	"\x66Miners" + "\x6d1,400,000,000" +
	"\x6cProtocolLabs" + "\xa3" +
	"\x6bDevelopment" + "\x6b300,000,000" +
	"\x6bFundraising" + "\x6b200,000,000" +
	"\x6aFoundation" + "\x6b100,000,000" +
	"\x67Message" + "\x78\x48This is the Genesis Block of the Filecoin Decentralized Storage Network."

// putParent stores the fixed parent and returns its CID,
// bafyreiaqpwbbyjo4a42saasj36kkrpv4tsherf2e7bvezkert2a7dhonoi.
func putParent(ctx context.Context, bs ipld.Blockstore) (cid.Cid, error) {
	digest := sha256.Sum256([]byte(parentObject))
	hash, err := mh.Encode(digest[:], mh.SHA2_256)
	if err != nil {
		return cid.Undef, fmt.Errorf("hash the genesis parent: %w", err)
	}
	c := cid.NewCidV1(cid.DagCBOR, hash)
	return c, bs.Put(ctx, c, []byte(parentObject))
}
