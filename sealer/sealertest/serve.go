package sealertest

import (
	"bytes"
	"context"
	"net"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/types"
)

// Methods that the model lacks come from empty proxies, one level deeper so that
// the model's win.
type (
	restOfNode     struct{ *node.FullNodeProxy }
	restOfMessager struct{ *messager.MessagerProxy }
	servedNode     struct {
		*Chain
		restOfNode
	}
	servedMessager struct {
		*Messager
		restOfMessager
	}
)

func (m servedNode) StateNetworkName(context.Context) (string, error) {
	return m.Network.GenesisName, nil
}

func (m servedNode) StateMinerActiveSectors(context.Context, address.Address, types.TipSetKey) ([]*node.SectorOnChainInfo, error) {
	return nil, nil
}

// StateReadState gives the field of the miner's state that is read by name.
func (m servedNode) StateReadState(context.Context, address.Address, types.TipSetKey) (*node.ActorState, error) {
	return &node.ActorState{State: map[string]any{"AllocatedSectors": Cid("allocated")}}, nil
}

// ChainReadObj gives the numbers that the model's chain has used.
func (m servedNode) ChainReadObj(context.Context, cid.Cid) ([]byte, error) {
	var b bytes.Buffer
	err := m.Allocated().MarshalCBOR(&b)
	return b.Bytes(), err
}

// Serve gives the model addresses, as a node's and a messager's, that anybody may
// call until stop.
func (c *Chain) Serve() (nodeURL, messagerURL string, stop func()) {
	nodeURL, endNode := serve("/rpc/v1", servedNode{c, restOfNode{new(node.FullNodeProxy)}}, new(node.FullNodeProxy), node.Namespace)
	messagerURL, endMessager := serve(rpc.DefaultPath, servedMessager{c.Messager(), restOfMessager{new(messager.MessagerProxy)}}, new(messager.MessagerProxy), messager.Namespace)
	return nodeURL, messagerURL, func() {
		endNode()
		endMessager()
	}
}

func serve(path string, impl, proxy any, namespace string) (url string, stop func()) {
	s := rpc.NewServer(rpc.Options{Anonymous: api.AllPermissions()})
	if err := s.Register(path, impl, proxy, namespace); err != nil {
		panic(err)
	}
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	go func() { _ = s.Serve(l) }() // ends with Shutdown
	return "http://" + l.Addr().String(), func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Shutdown(ctx) // the test is over
	}
}
