package cluster

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/cluster"
	"github.com/filecoin-venus/venus/internal/clock"
)

func logs(ctx context.Context, cmd *cli.Command) error {
	l, err := layout(cmd)
	if err != nil {
		return err
	}
	names := cluster.Order()
	if cmd.Args().Len() > 0 {
		name := cmd.Args().First()
		if !slices.Contains(names, name) && name != "supervisor" {
			return render.Usage("no program %q; choose one of %s", name, strings.Join(names, ", "))
		}
		names = []string{name}
	}
	return follow(ctx, render.From(cmd), l, names, !cmd.Bool("no-follow"))
}

const (
	// lastBytes is how much of a log is shown before it is followed, in bytes.
	lastBytes = 4 << 10
	pollEvery = 200 * time.Millisecond
)

// follow prints logs as they grow, each line with its program's name when
// there are several, until the context ends.
func follow(ctx context.Context, p *render.Printer, l cluster.Layout, names []string, on bool) error {
	tails := map[string]*tail{}
	for {
		for _, n := range names {
			if tails[n] == nil {
				t, err := openTail(l.Log(n))
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					return err
				}
				defer t.file.Close()
				tails[n] = t
			}
			prefix := ""
			if len(names) > 1 {
				prefix = n + " | "
			}
			if err := tails[n].print(func(line string) { p.Line("%s%s", prefix, line) }); err != nil {
				return err
			}
		}
		if !on || clock.Real().Sleep(ctx, pollEvery) != nil {
			return nil
		}
	}
}

type tail struct {
	file *os.File
	r    *bufio.Reader
	part string
}

func openTail(path string) (*tail, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	t := &tail{file: f, r: bufio.NewReader(f)}
	if skip := st.Size() - lastBytes; skip > 0 {
		if _, err := f.Seek(skip, io.SeekStart); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if _, err := t.r.ReadString('\n'); err != nil && !errors.Is(err, io.EOF) { // the rest of a line cut in two
			return nil, errors.Join(err, f.Close())
		}
	}
	return t, nil
}

func (t *tail) print(show func(string)) error {
	for {
		s, err := t.r.ReadString('\n')
		t.part += s
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		show(strings.TrimRight(t.part, "\n"))
		t.part = ""
	}
}
