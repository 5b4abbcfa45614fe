// Package exchange fetches and serves chains of tipsets between peers, protocol
// /fil/chain/xchg/0.0.1 (node.md 3): one request and one response a stream.
//
// Start at [Client.Chain] and [Serve]. What a peer answers is checked here for
// form only: the head asked for, links between neighbours, message indices;
// whether the blocks are valid is decided by chainsync.
package exchange

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/filecoin-venus/venus/p2p"
	"github.com/filecoin-venus/venus/types"
)

// Protocol is the stream's name.
const Protocol = protocol.ID("/fil/chain/xchg/0.0.1")

const (
	maxRequest   = 64 << 10
	maxResponse  = 120 << 20
	serveLimit   = 60 * time.Second
	requestLimit = 30 * time.Second
)

// Source is where a server finds tipsets.
type Source interface {
	TipSet(ctx context.Context, key types.TipSetKey) (*types.TipSet, error)
	FullBlocks(ctx context.Context, ts *types.TipSet) ([]*types.FullBlock, error)
}

// ErrNoPeer says that no peer could answer.
var ErrNoPeer = errors.New("no peer has the chain asked for")

// Serve answers requests from a source.
func Serve(h *p2p.Host, src Source) {
	h.HandleStream(Protocol, serveLimit, func(s network.Stream) error {
		var req Request
		if err := p2p.Decode(s, maxRequest, &req); err != nil {
			return fmt.Errorf("read request: %w", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), serveLimit)
		defer cancel()
		var buf bytes.Buffer
		if err := answer(ctx, src, &req).MarshalCBOR(&buf); err != nil {
			return fmt.Errorf("encode response: %w", err)
		}
		if _, err := s.Write(buf.Bytes()); err != nil {
			return fmt.Errorf("write response: %w", err)
		}
		return nil
	})
}

// softResponse ends a response early, as partial, once it is this large.
const softResponse = 32 << 20

func answer(ctx context.Context, src Source, req *Request) *Response {
	if req.Length == 0 || req.Length > MaxLength || len(req.Head) == 0 || req.Options&(Headers|Messages) == 0 {
		return &Response{Status: BadRequest, ErrorMessage: fmt.Sprintf("want a head, 1 to %d tipsets, headers or messages", MaxLength)}
	}
	resp := &Response{Status: OK}
	key := types.NewTipSetKey(req.Head...)
	size := 0
	for uint64(len(resp.Chain)) < req.Length {
		ts, err := src.TipSet(ctx, key)
		if err != nil {
			if len(resp.Chain) == 0 {
				return &Response{Status: NotFound, ErrorMessage: "this node does not have the head asked for"}
			}
			resp.Status = Partial
			return resp
		}
		item := &TipSet{}
		if req.Options&Headers != 0 {
			item.Blocks = ts.Blocks()
		}
		if req.Options&Messages != 0 {
			full, err := src.FullBlocks(ctx, ts)
			if err != nil {
				if len(resp.Chain) == 0 {
					return &Response{Status: NotFound, ErrorMessage: "this node does not have the messages asked for"}
				}
				resp.Status = Partial
				return resp
			}
			item.Messages = Compact(full)
			for _, m := range item.Messages.Bls {
				size += m.ChainLength()
			}
			for _, m := range item.Messages.Secpk {
				size += m.ChainLength()
			}
		}
		resp.Chain = append(resp.Chain, item)
		if ts.Height() == 0 || size > softResponse {
			break
		}
		key = ts.Parents()
	}
	if uint64(len(resp.Chain)) < req.Length {
		resp.Status = Partial
	}
	return resp
}

func (c *Client) ask(ctx context.Context, p peer.ID, req *Request) ([]*TipSet, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	s, err := c.host.NewStream(ctx, p, Protocol)
	if err != nil {
		return nil, fmt.Errorf("open stream: %w", err)
	}
	defer s.Close()
	if err := s.SetDeadline(c.host.Deadline(requestLimit)); err != nil {
		return nil, fmt.Errorf("set deadline: %w", err)
	}
	if err := req.MarshalCBOR(s); err != nil {
		return nil, fmt.Errorf("write request: %w", err)
	}
	if err := s.CloseWrite(); err != nil {
		return nil, fmt.Errorf("write request: %w", err)
	}
	var resp Response
	if err := p2p.Decode(s, maxResponse, &resp); err != nil {
		if errors.Is(err, p2p.ErrMalformed) {
			c.host.Blame(p, p2p.Malformed, "chain exchange: "+err.Error())
		}
		return nil, fmt.Errorf("read response: %w", err)
	}
	if resp.Status != OK && resp.Status != Partial {
		return nil, fmt.Errorf("status %d: %.200q", resp.Status, resp.ErrorMessage)
	}
	if err := checkForm(req, resp.Chain); err != nil {
		c.host.Blame(p, p2p.Lie, "chain exchange: "+err.Error())
		return nil, fmt.Errorf("bad response: %w", err)
	}
	return resp.Chain, nil
}

// checkForm refuses answers to another question: wrong head, broken links,
// missing parts.
func checkForm(req *Request, chain []*TipSet) error {
	if len(chain) == 0 || uint64(len(chain)) > req.Length {
		return fmt.Errorf("%d tipsets for a request of %d", len(chain), req.Length)
	}
	want := types.NewTipSetKey(req.Head...)
	height := int64(-1)
	for i, item := range chain {
		if item == nil {
			return fmt.Errorf("tipset %d is null", i)
		}
		if req.Options&Messages != 0 && item.Messages == nil {
			return fmt.Errorf("tipset %d has no messages", i)
		}
		if req.Options&Headers == 0 {
			continue
		}
		for _, b := range item.Blocks {
			if b == nil {
				return fmt.Errorf("tipset %d has a null block", i)
			}
		}
		ts, err := types.NewTipSet(item.Blocks)
		if err != nil {
			return fmt.Errorf("tipset %d: %w", i, err)
		}
		if ts.Key() != want {
			return fmt.Errorf("tipset %d is %s, want %s", i, ts.Key(), want)
		}
		if height >= 0 && int64(ts.Height()) >= height {
			return fmt.Errorf("tipset %d at height %d is not below its child at %d", i, ts.Height(), height)
		}
		height, want = int64(ts.Height()), ts.Parents()
		if item.Messages == nil {
			continue
		}
		if _, err := item.Messages.Expand(item.Blocks); err != nil {
			return fmt.Errorf("tipset %d: %w", i, err)
		}
	}
	return nil
}
