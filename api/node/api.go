package node

import (
	"github.com/filecoin-venus/venus/api"
)

// Namespace is the first half of every method name on the wire.
const Namespace = "Filecoin"

// VersionV0 and VersionV1 are what Version reports on /rpc/v0 and /rpc/v1
// (node-nv15.md 6.1).
const (
	VersionV0 = api.APIVersion(1<<16 | 5<<8)
	VersionV1 = api.APIVersion(2<<16 | 2<<8)
)

// topics is what v0 and v1 have in common.
type topics interface {
	api.Common
	api.Auth
	Alerts
	Chain
	Objects
	Randomness
	State
	Calls
	MinerState
	Market
	Mpool
	Gas
	Sync
	Miner
	Beacon
	Net
	Peers
	Multisig
	Wallet
	Funds
}

// FullNode is the whole contract of a node at version 1.
//
//api:service
type FullNode interface {
	topics
	Messages
	MultisigMessages
}

// FullNodeV0 is the whole contract of a node at version 0.
//
//api:service
type FullNodeV0 interface {
	topics
	MessagesV0
	MultisigSend
}
