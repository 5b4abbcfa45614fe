package messager

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/repo"
)

const (
	networkName    = "network"
	networkTimeout = 3 * time.Second
)

// networkNamer is the part of a node that knows its network.
type networkNamer interface {
	StateNetworkName(ctx context.Context) (string, error)
}

// learnNetwork asks the node for its network and notes it, so that addresses are
// printed as people know them. A node that is away leaves what was noted last.
func learnNetwork(ctx context.Context, r *repo.Repo, n networkNamer) error {
	cctx, cancel := context.WithTimeout(ctx, networkTimeout)
	defer cancel()
	name, err := n.StateNetworkName(cctx)
	if err != nil {
		log.Infow("the node's network is not known yet", "err", err)
		return PrintFor(r.Dir)
	}
	if err := fsutil.WriteFileAtomic(r.Path(networkName), []byte(name+"\n"), 0o600); err != nil {
		return fmt.Errorf("note the network: %w", err)
	}
	return PrintFor(r.Dir)
}

// PrintFor sets how this process prints addresses: as on the network of the
// messager whose directory d is. Mains call it once, before anything runs.
func PrintFor(d repo.Dir) error {
	raw, err := os.ReadFile(d.Path(networkName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read network: %w", err)
	}
	if prefix := params.AddressNetworkOf(strings.TrimSpace(string(raw))); address.CurrentNetwork != prefix {
		address.CurrentNetwork = prefix
	}
	return nil
}
