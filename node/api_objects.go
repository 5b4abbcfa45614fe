package node

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/filecoin-project/go-state-types/abi"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	cbornode "github.com/ipfs/go-ipld-cbor"
	format "github.com/ipfs/go-ipld-format"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/snapshot"
	"github.com/filecoin-venus/venus/types"
)

// objectAPI reads lists, graphs and the store of chain objects.
type objectAPI struct {
	reader
	disk *ipld.Disk
	// exports has a place for every export that may run at once.
	exports chan struct{}
	prune   *pruner
}

// maxExports bounds the exports at once: each reads a large part of the store.
const maxExports = 2

// maxList bounds the keys of one ChainList.
const maxList = 100_000

func (a objectAPI) ChainList(ctx context.Context, from types.TipSetKey, count int) ([]types.TipSetKey, error) {
	if count < 1 || count > maxList {
		return nil, api.Errorf(api.CodeInvalid, "list: %d tipsets; ask for 1 to %d", count, maxList)
	}
	ts, err := a.tipset(ctx, from)
	if err != nil {
		return nil, err
	}
	out := []types.TipSetKey{ts.Key()}
	for len(out) < count && ts.Height() > 0 {
		if ts, err = a.store.Parent(ctx, ts); err != nil {
			return nil, err
		}
		out = append(out, ts.Key())
	}
	return out, nil
}

func (a objectAPI) ChainGetReceipts(ctx context.Context, root cid.Cid) ([]*types.MessageReceipt, error) {
	if !root.Defined() {
		return nil, api.Errorf(api.CodeInvalid, "receipts: name a root")
	}
	list, err := a.store.Receipts(ctx, root)
	if errors.Is(err, ipld.ErrNotFound) {
		return nil, api.Errorf(api.CodeNotFound, "receipts %s are not in this node's store", root)
	}
	out := make([]*types.MessageReceipt, len(list))
	for i := range list {
		out[i] = &list[i]
	}
	return out, err
}

// ChainGetNode follows links on the way and at the end of the path.
func (a objectAPI) ChainGetNode(ctx context.Context, path string) (*apinode.ChainNode, error) {
	steps := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	if len(steps) > 0 && (steps[0] == "ipfs" || steps[0] == "ipld") {
		steps = steps[1:]
	}
	if len(steps) == 0 {
		return nil, api.Errorf(api.CodeInvalid, "path %q: want /ipfs/CID, then names and positions", path)
	}
	c, err := cid.Decode(steps[0])
	if err != nil {
		return nil, api.Errorf(api.CodeInvalid, "path %q: %q is no CID", path, steps[0])
	}
	for steps = steps[1:]; ; {
		n, err := a.object(ctx, c)
		if err != nil {
			return nil, err
		}
		at, rest, err := n.Resolve(steps)
		if err != nil {
			return nil, api.Errorf(api.CodeNotFound, "path %q: nothing at %s in %s", path, strings.Join(steps, "/"), c)
		}
		if link, ok := at.(*format.Link); ok {
			c, steps = link.Cid, rest
			continue
		}
		return &apinode.ChainNode{Cid: c, Obj: readable(at)}, nil
	}
}

// object loads and decodes a CBOR object.
func (a objectAPI) object(ctx context.Context, c cid.Cid) (*cbornode.Node, error) {
	raw, err := a.store.Blocks().Get(ctx, c)
	if errors.Is(err, ipld.ErrNotFound) {
		return nil, api.Errorf(api.CodeNotFound, "object %s is not in this node's store", c)
	}
	if err != nil {
		return nil, err
	}
	b, err := blocks.NewBlockWithCid(raw, c)
	if err != nil {
		return nil, err
	}
	n, err := cbornode.DecodeBlock(b)
	if err != nil {
		return nil, api.Errorf(api.CodeInvalid, "object %s is no CBOR: %w", c, err)
	}
	node, ok := n.(*cbornode.Node)
	if !ok {
		return nil, api.Errorf(api.CodeInternal, "object %s decodes to a %T", c, n)
	}
	return node, nil
}

// readable turns a decoded object into what JSON can say; links become {"/": ...}.
func readable(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			v[k] = readable(x)
		}
		return v
	case map[any]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[fmt.Sprint(k)] = readable(x)
		}
		return out
	case []any:
		for i := range v {
			v[i] = readable(v[i])
		}
		return v
	}
	return v
}

func (a objectAPI) ChainBlockstoreInfo(context.Context) (map[string]any, error) {
	u := a.disk.Usage()
	return map[string]any{"Kind": "packs", "Size": u.Hot + u.Packs, "Packs": u.Packs}, nil
}

func (a objectAPI) ChainCheckBlockstore(ctx context.Context) error {
	n, err := a.disk.Check(ctx)
	if err != nil {
		return api.Errorf(api.CodeInternal, "after %d sound blocks: %w", n, err).
			WithHint("%s", lostHint)
	}
	return nil
}

// exportChunk is how many bytes of a CAR a chunk holds at least, except the last.
const exportChunk = 1 << 20

func (a objectAPI) ChainExport(ctx context.Context, recent abi.ChainEpoch, skipOld bool, key types.TipSetKey) (<-chan []byte, error) {
	ts, err := a.tipset(ctx, key)
	if err != nil {
		return nil, err
	}
	if recent < 0 {
		return nil, api.Errorf(api.CodeInvalid, "export: %d recent epochs", recent)
	}
	select {
	case a.exports <- struct{}{}:
	default:
		return nil, api.Errorf(api.CodeLimit, "%d exports are running already", maxExports).WithHint("wait until one has ended")
	}
	out := make(chan []byte)
	go func() {
		defer func() { <-a.exports }()
		defer close(out)
		w := &chunks{ctx: ctx, out: out}
		_, err := snapshot.Export(ctx, w, a.store, ts, snapshot.ExportOptions{Retention: chain.Retention{Recent: recent, SkipOldMessages: skipOld}})
		if err == nil {
			err = w.finish()
		}
		if err != nil && ctx.Err() == nil {
			log.Warnw("an export of the chain was cut short", "tipset", ts.Key(), "error", err)
		}
	}()
	return out, nil
}

// chunks turns writes into values of a channel.
type chunks struct {
	ctx context.Context
	out chan<- []byte
	buf []byte
}

// Write implements io.Writer.
func (w *chunks) Write(p []byte) (int, error) {
	w.buf = append(w.buf, p...)
	if len(w.buf) < exportChunk {
		return len(p), nil
	}
	full := w.buf
	w.buf = nil
	return len(p), w.send(full)
}

// finish sends what is left, then the empty chunk that says that all is there.
func (w *chunks) finish() error {
	if len(w.buf) > 0 {
		if err := w.send(w.buf); err != nil {
			return err
		}
	}
	return w.send([]byte{})
}

func (w *chunks) send(b []byte) error {
	select {
	case w.out <- b:
		return nil
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
}
