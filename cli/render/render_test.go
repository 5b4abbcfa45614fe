package render

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	fbig "github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/clock"
)

func TestUnits(t *testing.T) {
	amount := func(s string) fbig.Int { v, err := fbig.FromString(s); require.NoError(t, err); return v }
	for atto, want := range map[string]string{
		"0": "0", "100": "100 aFIL", "93750000000000000": "93.75 mFIL", "383869000000000000000": "383.869 FIL",
		"1000000000000000000000": "1000 FIL", "1500000000000": "1.5 uFIL", "750000000": "750 pFIL", "-2000000000000000000": "-2 FIL",
	} {
		require.Equal(t, want, FIL(amount(atto)))
	}
	require.Equal(t, "0", FIL(fbig.Int{}))
	for n, want := range map[uint64]string{0: "0 B", 2048: "2 KiB", 512 << 20: "512 MiB", 3 << 30: "3 GiB", 3 << 39: "1.5 TiB", 1023: "1023 B"} {
		require.Equal(t, want, SizeUint(n))
	}
	require.Equal(t, "15 Ti", Deci(fbig.NewInt(15<<40)))
	require.Equal(t, "0 ", Deci(fbig.Zero()))
	require.Equal(t, "100 (2 hours 3 minutes ago)", Epoch(100, 100+246, 30*time.Second))
	require.Equal(t, "110 (in 5 minutes)", Epoch(110, 100, 30*time.Second))
	require.Equal(t, "7 (now)", Epoch(7, 7, time.Second))
	require.Equal(t, "1 year 20 weeks", Span((365+145)*24*time.Hour))
	require.Equal(t, "1 day", Span(24*time.Hour+time.Minute+time.Second), "what is smaller than the next unit is left out")
	require.Equal(t, "0 seconds", Span(time.Millisecond))
	require.Equal(t, "2m41s", Took(161*time.Second))
	require.Equal(t, "12.5000%", Percent(fbig.NewInt(1), fbig.NewInt(8), 4))
	require.Equal(t, "0.00%", Percent(fbig.NewInt(1), fbig.Zero(), 2))
	require.Equal(t, "[|||||     ]", Bar(0.5, 10))
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	p := New(&out, &out)
	tb := NewTable("ID", "State", ">Size")
	tb.Row(1, "Proving", "2 KiB")
	tb.Row(12, "PreCommit1")
	p.Table(tb)
	p.Fields("Miner", "t01000", "Head", "7")
	require.Equal(t, "ID  State        Size\n1   Proving     2 KiB\n12  PreCommit1\nMiner: t01000\nHead:  7\n", out.String())
	out.Reset()
	p.colour = true
	tb = NewTable("A", "B")
	tb.Row(p.Green("ok"), "x")
	p.Table(tb)
	require.Equal(t, "\x1b[1mA\x1b[0m   \x1b[1mB\x1b[0m\n\x1b[32mok\x1b[0m  x\n", out.String())
}

func TestProgress(t *testing.T) {
	var out, notes bytes.Buffer
	clk := clock.NewSim(time.Unix(0, 0))
	p := New(&out, &notes)
	p.clk = clk
	g := p.Progress(2)
	g.Start("make keys")
	clk.Advance(350 * time.Millisecond)
	g.Start("wait for %s", "a block")
	g.Update("1 of 5")
	clk.Advance(11 * time.Second)
	g.Update("2 of 5")
	clk.Advance(150 * time.Second)
	g.Fail()
	g.Done()
	require.Empty(t, out.String())
	require.Equal(t, "[1/2] make keys\n[1/2] make keys ✔ 350ms\n[2/2] wait for a block\n[2/2] wait for a block (2 of 5)\n[2/2] wait for a block ✘ after 2m41s\n", notes.String())
}

func TestErrors(t *testing.T) {
	for code, want := range map[api.ErrorCode]int{
		api.CodeInternal: 1, api.CodeInvalid: 2, api.CodePrecondition: 3, api.CodeNotFound: 4, api.CodeUnauthenticated: 5,
		api.CodePermission: 5, api.CodeUnavailable: 6, api.CodePartial: 7, api.CodeConflict: 3, api.CodeLimit: 3, api.CodeUnsupported: 3,
	} {
		require.Equal(t, want, ExitCode(code))
	}
	var b bytes.Buffer
	err := fmt.Errorf("push CreateMiner: %w", api.Errorf(api.CodePrecondition, "sender f3x has 0 FIL").WithHint("send funds, then run it again"))
	require.Equal(t, 3, PrintError(&b, "venus-sealer", err, false))
	require.Equal(t, "venus-sealer: push CreateMiner: sender f3x has 0 FIL\nhint: send funds, then run it again\n", b.String())
	b.Reset()
	require.Equal(t, 3, PrintError(&b, "venus-sealer", err, true))
	require.JSONEq(t, `{"error":"push CreateMiner: sender f3x has 0 FIL","code":"precondition","hint":"send funds, then run it again","exit":3}`, b.String())
}

// program is a small command tree; it tells what its action saw.
func program(seen *string) *cli.Command {
	return &cli.Command{Name: "prog", Commands: []*cli.Command{
		{Name: "gen", Flags: []cli.Flag{&cli.StringFlag{Name: "perm", Value: "read"}}, Action: func(_ context.Context, c *cli.Command) error {
			*seen = fmt.Sprint(c.String("perm"), " ", c.Args().Slice(), " ", c.Bool("json"))
			return From(c).Result(map[string]string{"token": "abc"}, func() { From(c).Line("abc") })
		}},
		{Name: "fail", Action: func(context.Context, *cli.Command) error { return errors.New("broken") }},
		{Name: "stop", Action: func(context.Context, *cli.Command) error { return context.Canceled }},
		{Name: "group", Commands: []*cli.Command{{Name: "sub", Action: func(context.Context, *cli.Command) error { return nil }}}},
	}}
}

func TestRun(t *testing.T) {
	for _, tc := range []struct {
		args       string
		code       int
		seen       string
		out, errIn string
	}{
		{"gen --perm admin miner", 0, "admin [miner] false", "abc\n", ""},
		{"gen miner --perm admin", 0, "admin [miner] false", "abc\n", ""},
		{"gen --perm=admin miner --json", 0, "admin [miner] true", "{\n\t\"token\": \"abc\"\n}\n", ""},
		{"--json gen miner", 0, "read [miner] true", "{\n\t\"token\": \"abc\"\n}\n", ""},
		{"gen --nope miner", 2, "", "", "prog gen --help"},
		{"fail", 1, "", "", "prog: broken\n"},
		{"stop", 1, "", "", "prog: interrupted\n"},
		{"nope", 2, "", "", "no command \"nope\""},
		{"group nope", 2, "", "", "no command \"nope\""},
		{"group", 0, "", "", ""},
	} {
		var out, errOut bytes.Buffer
		seen := ""
		code := Run(context.Background(), program(&seen), append([]string{"prog"}, strings.Fields(tc.args)...), &out, &errOut)
		require.Equal(t, tc.code, code, "%s: %s", tc.args, errOut.String())
		require.Equal(t, tc.seen, seen, tc.args)
		if tc.out != "" {
			require.Equal(t, tc.out, out.String(), tc.args)
		}
		if tc.errIn != "" {
			require.Contains(t, errOut.String(), tc.errIn, tc.args)
			require.Empty(t, out.String(), tc.args)
		}
	}
}

func TestSecrets(t *testing.T) {
	var echo bytes.Buffer
	in := strings.NewReader("päx\x7fss\rsecond\r")
	s, err := readStars(in, &echo)
	require.NoError(t, err)
	require.Equal(t, "päss", s)
	require.Equal(t, "***\b \b**", echo.String())
	s, err = readStars(in, &echo)
	require.NoError(t, err)
	require.Equal(t, "second", s)
	echo.Reset()
	s, err = readStars(strings.NewReader("\x7fab\x15\x01c\r"), &echo)
	require.NoError(t, err)
	require.Equal(t, "c", s, "Ctrl-U starts anew, other control keys are no characters")
	require.Equal(t, "**\b \b\b \b*", echo.String())
	_, err = readStars(strings.NewReader("a\xff\xff\xff\xffb\r"), &echo)
	require.ErrorContains(t, err, "not UTF-8")
	_, err = readStars(strings.NewReader("ab\x03"), &echo)
	require.ErrorIs(t, err, context.Canceled)
	lines := strings.NewReader("one\r\ntwo")
	s, err = readLine(lines)
	require.NoError(t, err)
	require.Equal(t, "one", s)
	s, err = readLine(lines)
	require.NoError(t, err)
	require.Equal(t, "two", s)
	_, err = readLine(lines)
	require.Error(t, err)
}
