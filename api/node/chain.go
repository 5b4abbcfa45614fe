package node

import (
	"context"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/types"
)

// Chain reads blocks, messages and raw objects, and follows the head.
type Chain interface {
	// ChainHead returns the heaviest validated tipset.
	//perm:read
	ChainHead(ctx context.Context) (*types.TipSet, error)
	// ChainNotify streams changes of the head. The first value holds exactly one change of type
	// "current"; later ones hold reverts (newest first), then applies (oldest first).
	//perm:read
	ChainNotify(ctx context.Context) (<-chan []*HeadChange, error)
	// ChainGetGenesis returns the tipset at height 0.
	//perm:read
	ChainGetGenesis(ctx context.Context) (*types.TipSet, error)
	// ChainGetTipSet loads a tipset by key.
	//perm:read
	ChainGetTipSet(ctx context.Context, tsk types.TipSetKey) (*types.TipSet, error)
	// ChainGetTipSetByHeight looks back from tsk; at a null round it returns the tipset before.
	//perm:read
	ChainGetTipSetByHeight(ctx context.Context, height abi.ChainEpoch, tsk types.TipSetKey) (*types.TipSet, error)
	// ChainGetTipSetAfterHeight looks back from tsk; at a null round it returns the tipset after.
	//perm:read
	ChainGetTipSetAfterHeight(ctx context.Context, height abi.ChainEpoch, tsk types.TipSetKey) (*types.TipSet, error)
	// ChainGetBlock loads a block header.
	//perm:read
	ChainGetBlock(ctx context.Context, c cid.Cid) (*types.BlockHeader, error)
	// ChainGetBlockMessages lists the messages of one block.
	//perm:read
	ChainGetBlockMessages(ctx context.Context, block cid.Cid) (*BlockMessages, error)
	// ChainGetMessage loads a message by the CID of its signed or unsigned form.
	//perm:read
	ChainGetMessage(ctx context.Context, c cid.Cid) (*types.Message, error)
	// ChainGetMessagesInTipset lists the messages that a tipset includes, each once.
	//perm:read
	ChainGetMessagesInTipset(ctx context.Context, tsk types.TipSetKey) ([]Message, error)
	// ChainGetParentMessages lists the messages executed by the parent tipset of a block.
	//perm:read
	ChainGetParentMessages(ctx context.Context, block cid.Cid) ([]Message, error)
	// ChainGetParentReceipts lists their receipts, in the same order.
	//perm:read
	ChainGetParentReceipts(ctx context.Context, block cid.Cid) ([]*types.MessageReceipt, error)
	// ChainGetPath lists the reverts, then the applies, that lead from one tipset to another.
	//perm:read
	ChainGetPath(ctx context.Context, from, to types.TipSetKey) ([]*HeadChange, error)
	// ChainTipSetWeight returns the weight of the chain that ends in a tipset, its own blocks included.
	//perm:read
	ChainTipSetWeight(ctx context.Context, tsk types.TipSetKey) (big.Int, error)
	// ChainSetHead makes a known tipset the head without comparing weights.
	//perm:admin
	ChainSetHead(ctx context.Context, tsk types.TipSetKey) error
	// ChainReadObj returns the raw bytes of a chain object.
	//perm:read
	ChainReadObj(ctx context.Context, c cid.Cid) ([]byte, error)
	// ChainHasObj tells whether the node holds an object.
	//perm:read
	ChainHasObj(ctx context.Context, c cid.Cid) (bool, error)
	// ChainStatObj measures the graph under obj, leaving out what is reachable from base (may be undefined).
	//perm:read
	ChainStatObj(ctx context.Context, obj, base cid.Cid) (ObjStat, error)
	// BlockTime returns the length of an epoch in nanoseconds.
	//perm:read
	BlockTime(ctx context.Context) (Duration, error)
	// ProtocolParameters names the network, its epoch and its sector sizes.
	//perm:read
	ProtocolParameters(ctx context.Context) (*ProtocolParams, error)
}

// Objects reads what lies below tipsets: lists, graphs and the store itself.
type Objects interface {
	// ChainList lists the keys of a tipset and its ancestors, newest first, at most count of them.
	//perm:read
	ChainList(ctx context.Context, from types.TipSetKey, count int) ([]types.TipSetKey, error)
	// ChainGetReceipts lists the receipts under the root that a block header names.
	//perm:read
	ChainGetReceipts(ctx context.Context, root cid.Cid) ([]*types.MessageReceipt, error)
	// ChainGetNode follows a path of field names and list positions from an object, as in
	// /ipfs/CID/0/2, and returns what it ends at in readable form.
	//perm:read
	ChainGetNode(ctx context.Context, path string) (*ChainNode, error)
	// ChainExport streams a CAR of the chain that ends in a tipset: all block headers, and the states
	// and messages of the newest recent epochs; skipOldMessages leaves messages before them out. The
	// last chunk is empty: a stream that ends without it was cut short.
	//perm:read
	//stream:paced
	ChainExport(ctx context.Context, recent abi.ChainEpoch, skipOldMessages bool, tsk types.TipSetKey) (<-chan []byte, error)
	// ChainBlockstoreInfo tells the kind of the store of chain objects, and its size in bytes.
	//perm:read
	ChainBlockstoreInfo(ctx context.Context) (map[string]any, error)
	// ChainPrune drops from the store what the node does not need: states, receipts and messages older than
	// finality and the election's lookback, and blocks that led to nothing. It works beside everything else
	// and returns when it is done; of two at once the second is refused.
	//perm:admin
	ChainPrune(ctx context.Context, opts PruneOpts) (PruneResult, error)
	// ChainCheckBlockstore reads every object of the store and compares it with its name.
	//perm:admin
	ChainCheckBlockstore(ctx context.Context) error
}

// Randomness draws values that messages and proofs are bound to. Note the two
// orders of arguments: both are the field's own.
type Randomness interface {
	// ChainGetRandomnessFromTickets draws from the chain's tickets, looking back from tsk.
	//perm:read
	ChainGetRandomnessFromTickets(ctx context.Context, tsk types.TipSetKey, tag crypto.DomainSeparationTag, epoch abi.ChainEpoch, entropy []byte) (abi.Randomness, error)
	// ChainGetRandomnessFromBeacon draws from the beacon entries on the chain, looking back from tsk.
	//perm:read
	ChainGetRandomnessFromBeacon(ctx context.Context, tsk types.TipSetKey, tag crypto.DomainSeparationTag, epoch abi.ChainEpoch, entropy []byte) (abi.Randomness, error)
	// StateGetRandomnessFromTickets is ChainGetRandomnessFromTickets with the tipset last.
	//perm:read
	StateGetRandomnessFromTickets(ctx context.Context, tag crypto.DomainSeparationTag, epoch abi.ChainEpoch, entropy []byte, tsk types.TipSetKey) (abi.Randomness, error)
	// StateGetRandomnessFromBeacon is ChainGetRandomnessFromBeacon with the tipset last.
	//perm:read
	StateGetRandomnessFromBeacon(ctx context.Context, tag crypto.DomainSeparationTag, epoch abi.ChainEpoch, entropy []byte, tsk types.TipSetKey) (abi.Randomness, error)
}

// Beacon gives the entries of the randomness beacon.
type Beacon interface {
	// BeaconGetEntry returns the beacon entry an epoch uses and waits until it is published.
	//perm:read
	BeaconGetEntry(ctx context.Context, epoch abi.ChainEpoch) (*types.BeaconEntry, error)
}

// Miner is what a block producer asks for.
type Miner interface {
	// MinerGetBaseInfo gathers what a miner needs to try for a block on base; null when it cannot win.
	//perm:read
	MinerGetBaseInfo(ctx context.Context, miner address.Address, epoch abi.ChainEpoch, base types.TipSetKey) (*MiningBaseInfo, error)
	// MinerCreateBlock fills in state, receipts, messages and weight. BlockSig is null: the caller
	// signs the header through its wallet.
	//perm:write
	MinerCreateBlock(ctx context.Context, template *BlockTemplate) (*types.BlockMsg, error)
}

// Sync tells how far the node is, and takes new blocks.
type Sync interface {
	// SyncState reports the current work; there is always at least one entry.
	//perm:read
	SyncState(ctx context.Context) (*SyncState, error)
	// SyncSubmitBlock validates a block in full, adopts it and publishes it.
	//perm:write
	SyncSubmitBlock(ctx context.Context, block *types.BlockMsg) error
	// SyncIncomingBlocks streams the headers of blocks as they arrive.
	//perm:read
	SyncIncomingBlocks(ctx context.Context) (<-chan *types.BlockHeader, error)
	// SyncCheckBad returns why a block was marked bad, or "".
	//perm:read
	SyncCheckBad(ctx context.Context, c cid.Cid) (string, error)
	// SyncMarkBad refuses a block from now on.
	//perm:admin
	SyncMarkBad(ctx context.Context, c cid.Cid) error
	// SyncUnmarkBad forgets that a block was bad.
	//perm:admin
	SyncUnmarkBad(ctx context.Context, c cid.Cid) error
	// SyncUnmarkAllBad forgets all bad blocks.
	//perm:admin
	SyncUnmarkAllBad(ctx context.Context) error
	// SyncCheckpoint pins a known tipset of the chain: no switch undoes it. It survives a restart;
	// the genesis lifts it.
	//perm:admin
	SyncCheckpoint(ctx context.Context, tsk types.TipSetKey) error
	// SyncValidateTipset runs all consensus checks on a known tipset.
	//perm:read
	SyncValidateTipset(ctx context.Context, tsk types.TipSetKey) (bool, error)
	// NodeStatus sums up sync, peers and (if inclChain) the recent blocks per tipset.
	//perm:read
	NodeStatus(ctx context.Context, inclChain bool) (NodeStatus, error)
}

// Net is the node's place among its peers.
type Net interface {
	// ID returns the node's peer id.
	//perm:read
	ID(ctx context.Context) (string, error)
	// NetAddrsListen returns the peer id and the addresses others can dial.
	//perm:read
	NetAddrsListen(ctx context.Context) (AddrInfo, error)
	// NetPeers lists the connected peers.
	//perm:read
	NetPeers(ctx context.Context) ([]AddrInfo, error)
	// NetConnect dials a peer.
	//perm:write
	NetConnect(ctx context.Context, peer AddrInfo) error
	// NetDisconnect closes the connections to a peer.
	//perm:write
	NetDisconnect(ctx context.Context, peer string) error
	// NetConnectedness returns 0 not connected, 1 connected.
	//perm:read
	NetConnectedness(ctx context.Context, peer string) (int, error)
	// NetFindPeer looks a peer up in the DHT.
	//perm:read
	NetFindPeer(ctx context.Context, peer string) (AddrInfo, error)
	// NetAgentVersion returns what a peer calls its program.
	//perm:read
	NetAgentVersion(ctx context.Context, peer string) (string, error)
	// NetPing measures the round trip to a peer in nanoseconds.
	//perm:read
	NetPing(ctx context.Context, peer string) (Duration, error)
	// NetAutoNatStatus tells whether others can dial this node: 0 unknown, 1 yes, 2 no.
	//perm:read
	NetAutoNatStatus(ctx context.Context) (NatInfo, error)
	// NetBandwidthStats returns the traffic with all peers.
	//perm:read
	NetBandwidthStats(ctx context.Context) (Bandwidth, error)
	// NetBandwidthStatsByPeer returns the traffic by peer id.
	//perm:read
	NetBandwidthStatsByPeer(ctx context.Context) (map[string]Bandwidth, error)
	// NetBandwidthStatsByProtocol returns the traffic by protocol.
	//perm:read
	NetBandwidthStatsByProtocol(ctx context.Context) (map[string]Bandwidth, error)
}

// Peers judges peers: what they do, who is refused, who is kept.
type Peers interface {
	// NetPeerInfo tells what is known of a peer.
	//perm:read
	NetPeerInfo(ctx context.Context, peer string) (*PeerInfo, error)
	// NetPubsubScores lists how gossip rates the peers.
	//perm:read
	NetPubsubScores(ctx context.Context) ([]PubsubScore, error)
	// NetBlockAdd refuses peers, addresses and subnets from now on, across restarts, and hangs up on them.
	//perm:admin
	NetBlockAdd(ctx context.Context, list NetBlockList) error
	// NetBlockRemove lets them come back.
	//perm:admin
	NetBlockRemove(ctx context.Context, list NetBlockList) error
	// NetBlockList lists what is refused.
	//perm:read
	NetBlockList(ctx context.Context) (NetBlockList, error)
	// NetProtectAdd keeps connections to peers whatever their number, until the node stops.
	//perm:admin
	NetProtectAdd(ctx context.Context, peers []string) error
	// NetProtectRemove ends that.
	//perm:admin
	NetProtectRemove(ctx context.Context, peers []string) error
	// NetProtectList lists the peers whose connections are kept.
	//perm:read
	NetProtectList(ctx context.Context) ([]string, error)
	// NetFaults lists what peers did that honest ones do not, and who is kept out for it; the worst first.
	//perm:read
	NetFaults(ctx context.Context) ([]PeerFaults, error)
	// NetForgive forgets the faults of peers and lets them in again; without peers everybody's.
	//perm:admin
	NetForgive(ctx context.Context, peers []string) error
}
