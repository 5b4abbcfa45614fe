package venus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/builtin"
	"github.com/ipfs/go-cid"
	"github.com/urfave/cli/v3"

	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/cli/connect"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/types"
)

func stateCommands() *cli.Command {
	tip := []cli.Flag{atFlag()}
	return &cli.Command{Name: "state", Usage: "look at actors and miners, run messages on their state", Commands: slices.Concat(callCommands(), provingCommands(), []*cli.Command{
		call(&cli.Command{Name: "network-name", Usage: "print the network's name"}, nil, networkName),
		call(&cli.Command{Name: "get-actor", Usage: "print an actor's record", Flags: tip}, []string{"ADDRESS"}, getActor),
		call(&cli.Command{Name: "read-state", Usage: "print an actor's decoded state", Flags: tip}, []string{"ADDRESS"}, readState),
		call(&cli.Command{Name: "list-actors", Usage: "print all actors", Flags: tip}, nil, listActors),
		call(&cli.Command{Name: "list-miners", Usage: "print all miners with a power claim", Flags: tip}, nil, listMiners),
		call(&cli.Command{Name: "lookup", Usage: "print the ID address of an address", Flags: append(tip, &cli.BoolFlag{Name: "reverse", Usage: "print the key address of an account"})}, []string{"ADDRESS"}, lookup),
		call(&cli.Command{Name: "miner-info", Usage: "print a miner's owner, worker, sizes and deadline", Flags: tip}, []string{"MINER"}, minerInfo),
		call(&cli.Command{Name: "power", Usage: "print the power of the network, or of a miner", Flags: tip}, []string{"[MINER]"}, power),
		call(&cli.Command{Name: "sectors", Usage: "print a miner's proven sectors", Flags: tip}, []string{"MINER"}, sectors),
		call(&cli.Command{Name: "supply", Usage: "print the circulating supply by part", Flags: tip}, nil, supply),
		call(&cli.Command{Name: "replay", Usage: "run a message of the chain again and print its trace"}, []string{"CID"}, replay),
		call(&cli.Command{Name: "search-msg", Usage: "print where a message was executed"}, []string{"CID"}, searchMsg),
		call(&cli.Command{Name: "wait-msg", Usage: "wait until a message is executed", Flags: []cli.Flag{
			&cli.Uint64Flag{Name: "confidence", Value: 2, Usage: "epochs on top of the execution"},
			&cli.DurationFlag{Name: "timeout", Value: 10 * time.Minute, Usage: "give up after"},
		}}, []string{"CID"}, waitMsg),
	})}
}

func networkName(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
	n, err := c.StateNetworkName(ctx)
	if err != nil {
		return err
	}
	return p.Result(n, func() { p.Line("%s", n) })
}

// subject reads the address and tipset that most state commands are about.
func subject(cmd *cli.Command) (address.Address, types.TipSetKey, error) {
	a, err := connect.Address(cmd.Args().First())
	if err != nil {
		return address.Undef, types.EmptyTSK, err
	}
	key, err := at(cmd)
	return a, key, err
}

func getActor(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	a, key, err := subject(cmd)
	if err != nil {
		return err
	}
	act, err := c.StateGetActor(ctx, a, key)
	if err != nil {
		return err
	}
	return p.Result(act, func() {
		p.Fields("Address", a, "Balance", render.FIL(act.Balance), "Nonce", act.Nonce, "Code", act.Code, "Head", act.Head)
	})
}

func readState(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	a, key, err := subject(cmd)
	if err != nil {
		return err
	}
	st, err := c.StateReadState(ctx, a, key)
	if err != nil {
		return err
	}
	return p.Value(st)
}

func addresses(p *render.Printer, list []address.Address) error {
	return p.Result(list, func() {
		for _, a := range list {
			p.Line("%s", a)
		}
	})
}

func listActors(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	key, err := at(cmd)
	if err != nil {
		return err
	}
	list, err := c.StateListActors(ctx, key)
	if err != nil {
		return err
	}
	return addresses(p, list)
}

func listMiners(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	key, err := at(cmd)
	if err != nil {
		return err
	}
	list, err := c.StateListMiners(ctx, key)
	if err != nil {
		return err
	}
	return addresses(p, list)
}

func lookup(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	a, key, err := subject(cmd)
	if err != nil {
		return err
	}
	find := c.StateLookupID
	if cmd.Bool("reverse") {
		find = c.StateAccountKey
	}
	out, err := find(ctx, a, key)
	if err != nil {
		return err
	}
	return p.Result(out, func() { p.Line("%s", out) })
}

func minerInfo(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	a, key, err := subject(cmd)
	if err != nil {
		return err
	}
	info, err := c.StateMinerInfo(ctx, a, key)
	if err != nil {
		return err
	}
	di, err := c.StateMinerProvingDeadline(ctx, a, key)
	if err != nil {
		return err
	}
	return p.Result(map[string]any{"info": info, "deadline": di}, func() {
		peer := "(none)"
		if info.PeerId != nil {
			peer = *info.PeerId
		}
		p.Fields("Miner", a, "Owner", info.Owner, "Worker", info.Worker, "Peer", peer, "Sector size", render.SizeUint(uint64(info.SectorSize)),
			"Partition", info.WindowPoStPartitionSectors, "Deadline", di.Index, "Opens", di.Open, "Closes", di.Close)
	})
}

func power(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	key, err := at(cmd)
	if err != nil {
		return err
	}
	miner := address.Undef
	if cmd.Args().Len() > 0 {
		if miner, err = connect.Address(cmd.Args().First()); err != nil {
			return err
		}
	}
	var pw *apinode.MinerPower
	if pw, err = c.StateMinerPower(ctx, miner, key); err != nil {
		return err
	}
	estimate := big.Zero()
	if !p.JSON() {
		if estimate, err = powerEstimate(ctx, c, key); err != nil {
			return err
		}
	}
	return p.Result(pw, func() {
		if miner != address.Undef {
			p.Line("%s: raw %s, quality-adjusted %s (%s of the network)", miner, p.Size(pw.MinerPower.RawBytePower),
				p.Size(pw.MinerPower.QualityAdjPower), render.Percent(pw.MinerPower.QualityAdjPower, pw.TotalPower.QualityAdjPower, 4))
		}
		p.Line("network: raw %s, quality-adjusted %s", p.Size(pw.TotalPower.RawBytePower), p.Size(pw.TotalPower.QualityAdjPower))
		p.Line("the actors' estimate of it: %s", p.Size(estimate))
		if strayed(estimate, pw.TotalPower.QualityAdjPower) {
			p.Note("Deposits, pledges and penalties follow from that estimate. It begins at 732.4 TiB and takes tens of thousands of epochs to reach a far smaller network, " +
				"below zero at times: meanwhile a pre-commit deposit can be one attoFIL at one epoch and many FIL at another. Every node computes the same.")
		}
	})
}

// powerEstimate is the smoothed quality-adjusted power of the network in the power actor's state, in bytes. It can be negative.
func powerEstimate(ctx context.Context, c *client, key types.TipSetKey) (big.Int, error) {
	st, err := c.StateReadState(ctx, builtin.StoragePowerActorAddr, key)
	if err != nil {
		return big.Zero(), err
	}
	raw, err := json.Marshal(st.State)
	var read struct {
		ThisEpochQAPowerSmoothed struct {
			PositionEstimate big.Int // with 128 binary places
		}
	}
	if err == nil {
		err = json.Unmarshal(raw, &read)
	}
	position := read.ThisEpochQAPowerSmoothed.PositionEstimate
	if err == nil && position.Int == nil {
		err = errors.New("it has no estimate of the network's power")
	}
	if err != nil {
		return big.Zero(), fmt.Errorf("read the power actor's state: %w", err)
	}
	return big.Rsh(position, 128), nil
}

// strayed tells whether an estimate is off by more than a half.
func strayed(estimate, power big.Int) bool {
	return big.Mul(big.NewInt(2), big.Sub(estimate, power).Abs()).GreaterThan(power)
}

func sectors(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	a, key, err := subject(cmd)
	if err != nil {
		return err
	}
	list, err := c.StateMinerSectors(ctx, a, nil, key)
	if err != nil {
		return err
	}
	return p.Result(list, func() {
		t := render.NewTable(">sector", ">activation", ">expiration", "pledge", "sealed CID")
		for _, s := range list {
			t.Row(s.SectorNumber, s.Activation, s.Expiration, render.FIL(s.InitialPledge), s.SealedCID)
		}
		p.Table(t)
	})
}

func supply(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	key, err := at(cmd)
	if err != nil {
		return err
	}
	s, err := c.StateVMCirculatingSupplyInternal(ctx, key)
	if err != nil {
		return err
	}
	return p.Result(s, func() {
		p.Fields("Circulating", render.FIL(s.FilCirculating), "Mined", render.FIL(s.FilMined), "Vested", render.FIL(s.FilVested),
			"Locked", render.FIL(s.FilLocked), "Burnt", render.FIL(s.FilBurnt), "Reserve disbursed", render.FIL(s.FilReserveDisbursed))
	})
}

func replay(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	k, err := parseCid(cmd.Args().First())
	if err != nil {
		return err
	}
	res, err := c.StateReplay(ctx, types.EmptyTSK, k)
	if err != nil {
		return err
	}
	return p.Value(res)
}

func printLookup(p *render.Printer, k cid.Cid, found *apinode.MsgLookup) error {
	if found == nil {
		return p.Result(nil, func() { p.Line("message %s has not been executed on this chain", k) })
	}
	return p.Result(found, func() {
		p.Fields("Message", found.Message, "Executed at", found.Height, "Exit code", found.Receipt.ExitCode, "Gas used", found.Receipt.GasUsed,
			"Return", found.ReturnDec)
	})
}

func searchMsg(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	k, err := parseCid(cmd.Args().First())
	if err != nil {
		return err
	}
	found, err := c.StateSearchMsg(ctx, types.EmptyTSK, k, abi.ChainEpoch(-1), true)
	if err != nil {
		return err
	}
	return printLookup(p, k, found)
}

func waitMsg(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	k, err := parseCid(cmd.Args().First())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cmd.Duration("timeout"))
	defer cancel()
	found, err := c.StateWaitMsg(ctx, k, cmd.Uint64("confidence"), abi.ChainEpoch(-1), true)
	if err != nil {
		return err
	}
	return printLookup(p, k, found)
}
