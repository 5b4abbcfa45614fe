package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/filecoin-venus/venus/api"
	authapi "github.com/filecoin-venus/venus/api/auth"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/chainsync"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/rpc"
)

// remoteEvery is the least time between two questions to another service.
const remoteEvery = 5 * time.Second

// vitals is what the health of a node is read from.
type vitals struct {
	objectAPI
	sync  *chainsync.Syncer
	room  *fsutil.Reserve
	peers func() int
	// skew is how far ahead of ours the clocks of so many peers are.
	skew func() (time.Duration, int)
	// lonely nodes were given nobody to connect to: they need no peers.
	lonely bool
	// auth and wallet are nil where the node uses none.
	auth   *authapi.Client
	wallet *walletapi.WalletProxy
}

// checks are those of /healthz, in order.
func (v vitals) checks() []rpc.Check {
	out := []rpc.Check{
		{Name: "store", Live: true, Ready: true, Ask: v.storeOpen},
		{Name: "disk", Ready: true, Ask: v.hasRoom},
		{Name: "head", Ready: true, Ask: v.headKeepsUp},
		{Name: "sync", Ready: true, Ask: v.syncs},
		{Name: "peers", Ask: v.hasPeers},
		{Name: "clock", Ask: v.clockRight},
	}
	if v.auth != nil {
		out = append(out, rpc.Check{Name: "auth", Every: remoteEvery, Ask: func(ctx context.Context) (string, error) {
			return "venus-auth answers", away("venus-auth", v.auth.Healthy(ctx))
		}})
	}
	if v.wallet != nil {
		out = append(out, rpc.Check{Name: "wallet", Every: remoteEvery, Ask: func(ctx context.Context) (string, error) {
			_, err := v.wallet.Version(ctx)
			return "venus-wallet answers", away("venus-wallet", err)
		}})
	}
	return out
}

// away says of a service that failed only what kind of failure it was: health is
// read by strangers.
func away(service string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s does not answer as it should: %s", service, api.Explain(err).Code)
}

func (v vitals) storeOpen(ctx context.Context) (string, error) {
	c := v.store.Genesis().Cids()[0]
	has, err := v.store.Blocks().Has(ctx, c)
	if err != nil {
		return "", errors.New("the store of chain objects cannot be read")
	}
	if !has {
		return "", errors.New("the store of chain objects has lost the genesis")
	}
	return fmt.Sprintf("open, %d bytes", v.disk.Size()), nil
}

// age is how old the head is.
func (v vitals) age() time.Duration {
	return v.clock.Now().Sub(time.Unix(int64(v.store.Head().MinTimestamp()), 0))
}

func (v vitals) behind() bool { return v.age() > epochAge(v.net.BlockDelay) }

func (v vitals) headKeepsUp(context.Context) (string, error) {
	head, age := v.store.Head(), v.age().Round(time.Second)
	if v.behind() {
		due := epochOf(v.clock.Now(), v.store.Genesis().MinTimestamp(), v.net.BlockDelay)
		return "", fmt.Errorf("head %d is %s old, the clock says epoch %d", head.Height(), age, due)
	}
	return fmt.Sprintf("epoch %d, %s old", head.Height(), age), nil
}

// syncs fails when the last attempt to catch up did and there is something to
// catch up with: anybody may name a chain that cannot be fetched.
func (v vitals) syncs(context.Context) (string, error) {
	st := v.sync.State()
	switch {
	case st.Stage == chainsync.Failed && v.behind():
		return "", fmt.Errorf("catching up failed at height %d", st.Height)
	case st.Stage == chainsync.FetchingHeaders || st.Stage == chainsync.FetchingMessages:
		return fmt.Sprintf("catching up, at height %d", st.Height), nil
	}
	return "nothing to do", nil
}

func (v vitals) hasPeers(context.Context) (string, error) {
	n := v.peers()
	if n == 0 && !v.lonely {
		return "", errors.New("no peer is connected")
	}
	if n == 0 {
		return "none, and none to start from was given", nil
	}
	return fmt.Sprintf("%d connected", n), nil
}

// clockRight fails when the peers' clocks say that ours is wrong by more than blocks may lie in the future.
func (v vitals) clockRight(context.Context) (string, error) {
	ahead, peers := v.skew()
	off := ahead.Round(10 * time.Millisecond)
	switch {
	case peers == 0:
		return "too few peers to compare with", nil
	case ahead > params.AllowableClockDrift:
		return "", fmt.Errorf("the clock of this machine is %s behind those of %d peers", off, peers)
	case ahead < -params.AllowableClockDrift:
		return "", fmt.Errorf("the clock of this machine is %s ahead of those of %d peers", -off, peers)
	}
	return fmt.Sprintf("within %s of %d peers", max(off, -off), peers), nil
}

// alertsAPI shows failing checks as alerts.
type alertsAPI struct{ health *rpc.Health }

func (a alertsAPI) LogAlerts(ctx context.Context) ([]api.Alert, error) {
	out := []api.Alert{}
	for _, c := range a.health.Conditions(ctx, nil) {
		alert := api.Alert{Type: api.AlertType{System: "node", Subsystem: c.Name}, Active: c.Err != nil}
		switch {
		case c.Err != nil:
			alert.LastActive = &api.AlertEvent{Type: "raised", Message: c.Err.Error(), Time: c.Since}
		case !c.Resolved.IsZero():
			alert.LastResolved = &api.AlertEvent{Type: "resolved", Message: c.Note, Time: c.Resolved}
		default:
			continue
		}
		out = append(out, alert)
	}
	return out, nil
}
