package hello

import (
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/ipfs/go-cid"
)

// Hello is a greeting. The weight is the peer's claim and only a hint.
type Hello struct {
	Head    []cid.Cid
	Height  abi.ChainEpoch
	Weight  big.Int
	Genesis cid.Cid
}

// Latency answers a greeting with our clock, in Unix nanoseconds, when it
// arrived and when the answer left.
type Latency struct {
	Arrival int64
	Sent    int64
}
