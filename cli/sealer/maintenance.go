package sealer

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/internal/clock"
)

func maintenanceCommand(d Deps) *cli.Command {
	length := &cli.DurationFlag{Name: "for", Usage: "how long the sealer will stand still", Value: 30 * time.Minute}
	return &cli.Command{Name: "maintenance", Usage: "is it safe to stop the sealer?", Commands: []*cli.Command{
		{Name: "check", Usage: "say whether it is, until when, and what speaks against it; the exit status is not 0 when it is not", Flags: []cli.Flag{length},
			Action: action(d, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
				m, err := c.Maintenance(ctx, cmd.Duration("for"))
				if err != nil {
					return err
				}
				if err := p.Result(m, func() { printMaintenance(p, m) }); err != nil || m.Safe {
					return err
				}
				return notSafe(m)
			})},
		{Name: "wait", Usage: "return when it is", Flags: []cli.Flag{
			length, &cli.DurationFlag{Name: "timeout", Usage: "give up after so long; 0 = never"},
		}, Action: action(d, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
			return waitMaintenance(ctx, clock.Real(), cmd.Duration("for"), cmd.Duration("timeout"), c.Maintenance, p)
		})},
	}}
}

func notSafe(m *sealerapi.Maintenance) error {
	return api.Errorf(api.CodePrecondition, "it is not safe to stop now for so long: %d reasons", len(m.Reasons)).WithHint("wait for it with 'venus-sealer maintenance wait', or stop for a shorter time (--for)")
}

func printMaintenance(p *render.Printer, m *sealerapi.Maintenance) {
	if m.Safe {
		p.Line("%s", p.Green("safe to stop now"))
	} else {
		p.Line("%s", p.Red("not safe to stop now"))
	}
	if m.Until >= 0 {
		p.Line("back by:  %s", render.Epoch(m.Until, m.Epoch, m.BlockDelay))
	} else {
		p.Line("back by:  whenever you like: nothing has to be proven")
	}
	for _, r := range m.Reasons {
		p.Line("against:  %s", r.Text)
	}
	for _, n := range m.Notes {
		p.Line("note:     %s", n)
	}
}

// waitMaintenance asks once an epoch, and says what it waits for when that changes.
func waitMaintenance(ctx context.Context, clk clock.Clock, length, timeout time.Duration, ask func(context.Context, time.Duration) (*sealerapi.Maintenance, error), p *render.Printer) error {
	began, said := clk.Now(), ""
	for {
		m, err := ask(ctx, length)
		if err != nil {
			return err
		}
		if m.Safe {
			return p.Result(m, func() { printMaintenance(p, m) })
		}
		var reasons []string
		for _, r := range m.Reasons {
			reasons = append(reasons, r.Text)
		}
		if text := strings.Join(reasons, "\n  "); text != said {
			said = text
			p.Note("epoch %d, waiting for:\n  %s", m.Epoch, text)
		}
		if timeout > 0 && clk.Now().Sub(began) >= timeout {
			return notSafe(m)
		}
		if err := clk.Sleep(ctx, max(m.BlockDelay, time.Second)); err != nil {
			return fmt.Errorf("interrupted: %w", err)
		}
	}
}
