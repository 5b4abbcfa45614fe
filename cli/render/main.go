package render

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/filecoin-project/go-address"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/argv"
)

// Exit codes of every program.
const (
	ExitOK           = 0
	ExitInternal     = 1
	ExitUsage        = 2
	ExitPrecondition = 3
	ExitNotFound     = 4
	ExitAuth         = 5
	ExitUnavailable  = 6
	ExitPartial      = 7
)

// ExitCode is the exit code of a kind of failure.
func ExitCode(c api.ErrorCode) int {
	switch c {
	case api.CodeInvalid:
		return ExitUsage
	case api.CodePrecondition, api.CodeConflict, api.CodeLimit, api.CodeUnsupported:
		return ExitPrecondition
	case api.CodeNotFound:
		return ExitNotFound
	case api.CodePermission, api.CodeUnauthenticated:
		return ExitAuth
	case api.CodeUnavailable:
		return ExitUnavailable
	case api.CodePartial:
		return ExitPartial
	}
	return ExitInternal
}

// Main runs a program with the process's arguments and exits. Secrets among them
// are not seen in the process list. The context that actions get ends at the
// first interrupt; a second one kills.
//
// Addresses print with the test networks' prefix until a program knows better.
func Main(app *cli.Command) {
	args := argv.Hide()
	address.CurrentNetwork = address.Testnet
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	code := Run(ctx, app, args, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Run runs a command tree, prints the error if there is one, and returns the
// exit code.
func Run(ctx context.Context, app *cli.Command, args []string, out, errOut io.Writer) int {
	prepare(app, out, errOut)
	err := app.Run(ctx, args)
	if err == nil {
		return ExitOK
	}
	jsonMode := false
	for _, a := range args {
		jsonMode = jsonMode || a == "--json"
	}
	return PrintError(errOut, app.Name, err, jsonMode)
}

// PrintError writes what failed, why, and what to do; it returns the exit code.
func PrintError(w io.Writer, program string, err error, asJSON bool) int {
	var coder cli.ExitCoder
	e := api.Explain(err)
	code := ExitCode(e.Code)
	if errors.As(err, &coder) && e.Code == api.CodeInternal {
		e.Code, code = api.CodeInvalid, ExitUsage
		e.Hint = fmt.Sprintf("run `%s --help` for the commands", program)
	}
	if errors.Is(err, context.Canceled) {
		e.Message = "interrupted"
	}
	if asJSON {
		writeJSON(w, map[string]any{"error": e.Message, "code": e.Code, "hint": e.Hint, "exit": code})
		return code
	}
	fmt.Fprintf(w, "%s: %s\n", program, strings.TrimSpace(e.Message))
	if e.Hint != "" {
		fmt.Fprintf(w, "hint: %s\n", e.Hint)
	}
	return code
}

// Usage is an error of wrong arguments.
func Usage(format string, args ...any) *api.Error {
	return api.Errorf(api.CodeInvalid, format, args...)
}

// prepare adds the flags all programs have and takes over what the library
// would print or exit by itself.
func prepare(app *cli.Command, out, errOut io.Writer) {
	app.Writer, app.ErrWriter = out, errOut
	app.ExitErrHandler = func(context.Context, *cli.Command, error) {}
	app.Suggest = true
	app.EnableShellCompletion = true
	have := map[string]bool{}
	for _, f := range app.Flags {
		for _, n := range f.Names() {
			have[n] = true
		}
	}
	for _, f := range []cli.Flag{
		&cli.BoolFlag{Name: "json", Usage: "print the result as JSON"},
		&cli.BoolFlag{Name: "raw", Usage: "print exact numbers instead of rounded ones"},
		&cli.StringFlag{Name: "color", Usage: "auto, always or never", Value: "auto", Sources: cli.EnvVars("VENUS_COLOR")},
	} {
		if !have[f.Names()[0]] {
			app.Flags = append(app.Flags, f)
		}
	}
	tame(app, app.Name)
}

// tame makes wrong flags and unknown commands of the whole tree errors of ours.
func tame(c *cli.Command, path string) {
	c.OnUsageError = func(_ context.Context, _ *cli.Command, err error, _ bool) error {
		return Usage("%s", err).WithHint("run `%s --help`", path)
	}
	if len(c.Commands) > 0 && c.Action == nil {
		c.Action = func(_ context.Context, cmd *cli.Command) error {
			if cmd.Args().Len() == 0 {
				return cli.ShowSubcommandHelp(cmd)
			}
			return Usage("%s has no command %q", path, cmd.Args().First()).WithHint("run `%s --help` for the commands", path)
		}
	}
	for _, sub := range c.Commands {
		tame(sub, path+" "+sub.Name)
	}
}
