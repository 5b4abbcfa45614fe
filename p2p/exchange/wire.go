package exchange

import (
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/types"
)

// What a request asks for; bits of Options.
const (
	Headers  = 1
	Messages = 2
)

// MaxLength is the number of tipsets one request may ask for: finality.
const MaxLength = 900

// Status is the outcome a server reports.
type Status uint64

// The statuses of the protocol.
const (
	OK            Status = 0
	Partial       Status = 101
	NotFound      Status = 201
	GoAway        Status = 202
	InternalError Status = 203
	BadRequest    Status = 204
)

// Request asks for Length tipsets backwards from Head.
type Request struct {
	Head    []cid.Cid
	Length  uint64
	Options uint64
}

// Response carries tipsets newest first.
type Response struct {
	Status       Status
	ErrorMessage string
	Chain        []*TipSet
}

// TipSet is one tipset on the wire; either part is null when not asked for.
type TipSet struct {
	Blocks   []*types.BlockHeader
	Messages *Compacted
}

// Compacted lists each message of a tipset once; Includes[i] are the indices
// of block i's messages.
type Compacted struct {
	Bls           []*types.Message
	BlsIncludes   [][]uint64
	Secpk         []*types.SignedMessage
	SecpkIncludes [][]uint64
}

// Compact gathers the messages of a tipset's blocks.
func Compact(blocks []*types.FullBlock) *Compacted {
	c := &Compacted{}
	bls, secp := map[cid.Cid]uint64{}, map[cid.Cid]uint64{}
	for _, b := range blocks {
		bi, si := []uint64{}, []uint64{}
		for _, m := range b.BlsMessages {
			i, ok := bls[m.Cid()]
			if !ok {
				i = uint64(len(c.Bls))
				bls[m.Cid()] = i
				c.Bls = append(c.Bls, m)
			}
			bi = append(bi, i)
		}
		for _, m := range b.SecpkMessages {
			i, ok := secp[m.Cid()]
			if !ok {
				i = uint64(len(c.Secpk))
				secp[m.Cid()] = i
				c.Secpk = append(c.Secpk, m)
			}
			si = append(si, i)
		}
		c.BlsIncludes, c.SecpkIncludes = append(c.BlsIncludes, bi), append(c.SecpkIncludes, si)
	}
	return c
}

// Expand gives each header its messages; foreign indices are checked.
func (c *Compacted) Expand(headers []*types.BlockHeader) ([]*types.FullBlock, error) {
	if len(c.BlsIncludes) != len(headers) || len(c.SecpkIncludes) != len(headers) {
		return nil, fmt.Errorf("message lists for %d and %d blocks, want %d", len(c.BlsIncludes), len(c.SecpkIncludes), len(headers))
	}
	out := make([]*types.FullBlock, len(headers))
	for i, h := range headers {
		b := &types.FullBlock{Header: h}
		for _, j := range c.BlsIncludes[i] {
			if j >= uint64(len(c.Bls)) || c.Bls[j] == nil {
				return nil, fmt.Errorf("block %d names bls message %d of %d", i, j, len(c.Bls))
			}
			b.BlsMessages = append(b.BlsMessages, c.Bls[j])
		}
		for _, j := range c.SecpkIncludes[i] {
			if j >= uint64(len(c.Secpk)) || c.Secpk[j] == nil {
				return nil, fmt.Errorf("block %d names secp message %d of %d", i, j, len(c.Secpk))
			}
			b.SecpkMessages = append(b.SecpkMessages, c.Secpk[j])
		}
		out[i] = b
	}
	return out, nil
}
