package mining

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"

	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/api"
	miningapi "github.com/filecoin-venus/venus/api/mining"
	"github.com/filecoin-venus/venus/internal/fsutil"
)

// stored is a miner in the file miners.json, 0600: it holds tokens. The address is bytes in hex, network-neutral.
type stored struct {
	Address string
	Sealer  miningapi.Endpoint
	Wallet  miningapi.Endpoint
	More    []miningapi.Endpoint `json:",omitempty"` // further sealers
	Stopped bool                 `json:",omitempty"`
}

// store keeps the list of miners in one file, rewritten atomically at each change.
type store struct {
	path string

	mu     sync.Mutex
	miners []stored
}

func openStore(path string) (*store, error) {
	s := &store{path: path}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read list of miners: %w", err)
	}
	if err := json.Unmarshal(raw, &s.miners); err != nil {
		return nil, api.Errorf(api.CodePrecondition, "list of miners %s is damaged: %w", path, err).
			WithHint("restore it from a backup, or move it away and add the miners again; the records of signed blocks are kept apart")
	}
	return s, nil
}

func (s *stored) spec() (miningapi.MinerSpec, error) {
	raw, err := hex.DecodeString(s.Address)
	if err != nil {
		return miningapi.MinerSpec{}, fmt.Errorf("stored miner %q: %w", s.Address, err)
	}
	a, err := address.NewFromBytes(raw)
	if err != nil {
		return miningapi.MinerSpec{}, fmt.Errorf("stored miner %q: %w", s.Address, err)
	}
	return miningapi.MinerSpec{Addr: a, Sealer: s.Sealer, Wallet: s.Wallet, MoreSealers: s.More}, nil
}

func (s *store) all() []stored {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.miners)
}

// put adds or replaces a miner, durably.
func (s *store) put(m miningapi.MinerSpec, stopped bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry := stored{Address: hex.EncodeToString(m.Addr.Bytes()), Sealer: m.Sealer, Wallet: m.Wallet, More: m.MoreSealers, Stopped: stopped}
	next := slices.DeleteFunc(slices.Clone(s.miners), func(o stored) bool { return o.Address == entry.Address })
	return s.save(append(next, entry))
}

// remove forgets a miner, durably.
func (s *store) remove(a address.Address) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := hex.EncodeToString(a.Bytes())
	return s.save(slices.DeleteFunc(slices.Clone(s.miners), func(o stored) bool { return o.Address == name }))
}

func (s *store) save(next []stored) error {
	slices.SortFunc(next, func(a, b stored) int {
		if len(a.Address) != len(b.Address) {
			return len(a.Address) - len(b.Address)
		}
		return slices.Compare([]byte(a.Address), []byte(b.Address))
	})
	raw, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return fmt.Errorf("encode list of miners: %w", err)
	}
	if err := fsutil.WriteFileAtomic(s.path, raw, 0o600); err != nil {
		return fmt.Errorf("write list of miners: %w", err)
	}
	s.miners = next
	return nil
}
