package chain

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	fbig "github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/types"
)

var rewrite = flag.Bool("rewrite", false, "write what was seen into the golden scripts")

// forkScript interprets testdata/forkchoice.txt.
type forkScript struct {
	t       *testing.T
	store   *Store
	blocks  map[string]*types.BlockHeader
	names   map[types.TipSetKey]string
	tickets []string
}

func newForkScript(t *testing.T) *forkScript {
	s := &forkScript{t: t, store: newStore(t, ipld.NewMemory(), NewMemoryMeta()), blocks: map[string]*types.BlockHeader{}, names: map[types.TipSetKey]string{}}
	s.store.weights.Add(s.store.Genesis().Key(), fbig.Zero())
	s.names[s.store.Genesis().Key()] = "genesis"
	for i := range 64 {
		s.tickets = append(s.tickets, fmt.Sprint("ticket", i))
	}
	sort.Slice(s.tickets, func(i, j int) bool {
		return (&types.Ticket{VRFProof: []byte(s.tickets[i])}).Less(&types.Ticket{VRFProof: []byte(s.tickets[j])})
	})
	return s
}

func (s *forkScript) tipset(name string) *types.TipSet {
	if name == "genesis" {
		return s.store.Genesis()
	}
	var headers []*types.BlockHeader
	for _, n := range strings.Split(name, "+") {
		require.Contains(s.t, s.blocks, n)
		headers = append(headers, s.blocks[n])
	}
	ts := tipset(s.t, headers...)
	s.names[ts.Key()] = name
	return ts
}

func (s *forkScript) number(w string) int {
	n, err := strconv.Atoi(w)
	require.NoError(s.t, err)
	return n
}

// run executes one line and returns what follows "=" if the line asks for it.
func (s *forkScript) run(line string) string {
	w := strings.Fields(line)
	switch w[0] {
	case "block": // NAME on TIPSET at HEIGHT miner ID ticket N
		parent := s.tipset(w[3])
		s.blocks[w[1]] = header(s.t, uint64(s.number(w[7])), s.tickets[s.number(w[9])], abi.ChainEpoch(s.number(w[5])), parent.Cids()...)
	case "weigh":
		s.store.weights.Add(s.tipset(w[1]).Key(), fbig.NewInt(int64(s.number(w[2]))))
	case "accept":
		s.tipset(w[1])
		_, _, err := s.store.Accept(context.Background(), s.blocks[w[1]])
		if errors.Is(err, ErrForkTooLong) {
			return fmt.Sprintf("= error %v, head %s", ErrForkTooLong, s.names[s.store.Head().Key()])
		}
		require.NoError(s.t, err, line)
		return "= head " + s.names[s.store.Head().Key()]
	default:
		s.t.Fatalf("unknown line %q", line)
	}
	return ""
}

func TestForkChoiceScript(t *testing.T) {
	const path = "testdata/forkchoice.txt"
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	script := newForkScript(t)
	var seen []string
	for _, line := range strings.Split(string(raw), "\n") {
		if strings.HasPrefix(line, "=") {
			continue
		}
		seen = append(seen, line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if out := script.run(line); out != "" {
			seen = append(seen, out)
		}
	}
	if *rewrite {
		require.NoError(t, os.WriteFile(path, []byte(strings.Join(seen, "\n")), 0o600))
		return
	}
	require.Equal(t, string(raw), strings.Join(seen, "\n"))
}
