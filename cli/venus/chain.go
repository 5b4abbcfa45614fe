package venus

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/types"
)

func chainCommands(more []*cli.Command) *cli.Command {
	return &cli.Command{Name: "chain", Usage: "look at tipsets, blocks and messages, take the chain out and in", Commands: slices.Concat([]*cli.Command{
		call(&cli.Command{Name: "head", Usage: "print the head's block CIDs"}, nil, chainHead),
		call(&cli.Command{Name: "list", Aliases: []string{"ls"}, Usage: "print the newest tipsets, oldest first", Flags: []cli.Flag{
			&cli.IntFlag{Name: "count", Value: 30, Usage: "how many"},
			&cli.Int64Flag{Name: "height", Value: -1, Usage: "end at this epoch instead of the head"},
		}}, nil, chainList),
		call(&cli.Command{Name: "get-block", Aliases: []string{"getblock"}, Usage: "print a block header"}, []string{"CID"}, chainBlock),
		call(&cli.Command{Name: "get-message", Aliases: []string{"getmessage"}, Usage: "print a message"}, []string{"CID"}, chainMessage),
		call(&cli.Command{Name: "read-obj", Usage: "print the bytes of a stored object in hex"}, []string{"CID"}, chainObject),
		call(&cli.Command{Name: "set-head", Usage: "move the head to a known tipset, whatever its weight"}, []string{"CIDS"}, chainSetHead),
		call(&cli.Command{Name: "prune", Aliases: []string{"gc"}, Usage: "drop from the store what the node does not need; it works on meanwhile", Flags: []cli.Flag{
			&cli.Int64Flag{Name: "keep-epochs", Usage: "keep states, receipts and messages of so many epochs, if that is more than what is needed and configured"},
		}}, nil, chainPrune),
		call(&cli.Command{Name: "notify", Usage: "print head changes as they come, until interrupted"}, nil, chainNotify),
	}, chainReading(), more)}
}

func chainPrune(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	if cmd.Int64("keep-epochs") < 0 {
		return render.Usage("--keep-epochs %d: epochs cannot be fewer than none", cmd.Int64("keep-epochs"))
	}
	r, err := c.ChainPrune(ctx, apinode.PruneOpts{RetainState: cmd.Int64("keep-epochs")})
	if err != nil {
		return err
	}
	return p.Result(r, func() {
		p.Line("kept %d blocks, %s; the store takes %s, before %s", r.Kept, render.SizeUint(uint64(r.KeptBytes)), render.SizeUint(uint64(r.After)), render.SizeUint(uint64(r.Before)))
	})
}

// Exporting is a running node that writes its chain to a stream.
type Exporting struct {
	// Head is the tipset that the archive ends in.
	Head *types.TipSet
	// Store is what the node's blocks take on disk, in bytes: no archive is larger by much.
	Store int64
	// Write copies the archive; it fails when the stream was cut short.
	Write func(w io.Writer) error
}

// Export asks the running node for its chain, ending in a tipset that is named as --tipset names one.
func Export(ctx context.Context, cmd *cli.Command, tipset string, recent abi.ChainEpoch, skipOld bool) (*Exporting, error) {
	key, err := ParseKey(tipset)
	if err != nil {
		return nil, err
	}
	c, _, stop, err := node().Dial(cmd)
	if err != nil {
		return nil, err
	}
	out := new(Exporting)
	if out.Head, err = c.ChainGetTipSet(ctx, key); err != nil {
		stop()
		return nil, err
	}
	info, err := c.ChainBlockstoreInfo(ctx)
	if err != nil {
		stop()
		return nil, err
	}
	if size, ok := info["Size"].(float64); ok {
		out.Store = int64(size)
	}
	out.Write = func(w io.Writer) error {
		defer stop()
		parts, err := c.ChainExport(ctx, recent, skipOld, out.Head.Key())
		if err != nil {
			return err
		}
		ended := false
		for p := range parts {
			if ended = len(p) == 0; !ended {
				if _, err := w.Write(p); err != nil {
					return err
				}
			}
		}
		if !ended {
			return errors.Join(ctx.Err(), api.Errorf(api.CodeUnavailable, "the node ended the export early").WithHint("its log tells why"))
		}
		return nil
	}
	return out, nil
}

func chainHead(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
	head, err := c.ChainHead(ctx)
	if err != nil {
		return err
	}
	return p.Result(head, func() {
		for _, k := range head.Cids() {
			p.Line("%s", k)
		}
	})
}

func chainList(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	ts, err := c.ChainHead(ctx)
	if err != nil {
		return err
	}
	if h := cmd.Int64("height"); h >= 0 {
		if ts, err = c.ChainGetTipSetByHeight(ctx, abi.ChainEpoch(h), types.EmptyTSK); err != nil {
			return err
		}
	}
	var list []*types.TipSet
	for len(list) < cmd.Int("count") {
		list = append(list, ts)
		if ts.Height() == 0 {
			break
		}
		if ts, err = c.ChainGetTipSet(ctx, ts.Parents()); err != nil {
			return err
		}
	}
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
	return p.Result(list, func() {
		t := render.NewTable(">epoch", "time", "blocks", ">wins", ">base fee")
		for _, ts := range list {
			wins, who := int64(0), ""
			for i, b := range ts.Blocks() {
				if b.ElectionProof != nil {
					wins += b.ElectionProof.WinCount
				}
				if i > 0 {
					who += ", "
				}
				who += ts.Cids()[i].String() + ": " + b.Miner.String()
			}
			t.Row(ts.Height(), time.Unix(int64(ts.MinTimestamp()), 0).UTC().Format("2006-01-02 15:04:05"), who, wins, ts.ParentBaseFee())
		}
		p.Table(t)
	})
}

func chainBlock(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	k, err := parseCid(cmd.Args().First())
	if err != nil {
		return err
	}
	b, err := c.ChainGetBlock(ctx, k)
	if err != nil {
		return err
	}
	return p.Value(b)
}

func chainMessage(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	k, err := parseCid(cmd.Args().First())
	if err != nil {
		return err
	}
	m, err := c.ChainGetMessage(ctx, k)
	if err != nil {
		return err
	}
	return p.Value(m)
}

func chainObject(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	k, err := parseCid(cmd.Args().First())
	if err != nil {
		return err
	}
	b, err := c.ChainReadObj(ctx, k)
	if err != nil {
		return err
	}
	return p.Result(map[string]any{"cid": k, "hex": hex.EncodeToString(b)}, func() { p.Line("%s", hex.EncodeToString(b)) })
}

func chainSetHead(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	key, err := ParseKey(cmd.Args().First())
	if err != nil {
		return err
	}
	if err := c.ChainSetHead(ctx, key); err != nil {
		return err
	}
	return p.Result(map[string]any{"head": key}, func() { p.Line("head is %s", key) })
}

func chainNotify(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
	changes, err := c.ChainNotify(ctx)
	if err != nil {
		return err
	}
	for list := range changes {
		for _, h := range list {
			if p.JSON() {
				if err := p.Value(h); err != nil {
					return err
				}
				continue
			}
			p.Line("%-7s %d %s", h.Type, h.Val.Height(), h.Val.Key())
		}
	}
	return nil
}

func parseUint(what, s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, render.Usage("%s %q is not a number", what, s)
	}
	return n, nil
}
