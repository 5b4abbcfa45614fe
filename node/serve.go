package node

import (
	"context"

	"github.com/filecoin-venus/venus/api"
	authapi "github.com/filecoin-venus/venus/api/auth"
	apinode "github.com/filecoin-venus/venus/api/node"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/auth/localtoken"
	"github.com/filecoin-venus/venus/auth/remote"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/rpc/daemon"
	"github.com/filecoin-venus/venus/rpc/openrpc"
)

// Files of the API in the daemon's directory.
const (
	blockedName        = "blocked.json"
	defaultAddressName = "default-address"
)

// serving is what the server needs beside the contract.
type serving struct {
	tokens *localtoken.Issuer
	health *rpc.Health
	meters *nodeMeters
}

// v0API is the older dialect with its own description.
type v0API struct{ apinode.FullNodeV0 }

// Discover describes version 0.
func (a v0API) Discover(context.Context) (map[string]any, error) {
	return openrpc.Document("venus", apinode.VersionV0.String(), apinode.Namespace, new(apinode.FullNodeV0Proxy))
}

// dialOthers connects to the services that the node uses.
func (n *Node) dialOthers(cfg FileConfig, v *vitals) error {
	if cfg.API.VenusAuthURL != "" {
		base, err := rpc.ParseEndpoint(cfg.API.VenusAuthURL, "/")
		if err != nil {
			return err
		}
		if v.auth, err = authapi.New(base, ""); err != nil {
			return err
		}
		n.opened.Then(v.auth.Close)
	}
	if cfg.Wallet.URL == "" {
		return nil
	}
	v.wallet = new(walletapi.WalletProxy)
	stop, err := rpc.Dial(cfg.Wallet.URL, cfg.Wallet.Token, walletapi.Namespace, v.wallet, rpc.DialOptions{Service: "venus-wallet", Shared: true})
	if err != nil {
		return err
	}
	n.opened.Then(stop)
	return nil
}

// register puts both dialects on a server.
func (n *Node) register(srv *rpc.Server) error {
	if err := srv.Register("/rpc/v1", n.API, new(apinode.FullNodeProxy), apinode.Namespace); err != nil {
		return err
	}
	if err := srv.Register("/rpc/v0", v0API{apinode.V0(n.API)}, new(apinode.FullNodeV0Proxy), apinode.Namespace); err != nil {
		return err
	}
	for _, path := range []string{"/rpc/v1", "/rpc/v0"} {
		if err := srv.Exclude(path, apinode.Namespace, apinode.Excluded()); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) listen(r *repo.Repo, cfg FileConfig, o Options, with serving) error {
	verifiers := []rpc.Verifier{with.tokens.Verifier}
	if cfg.API.VenusAuthURL != "" {
		judge, stop, err := remote.Verifier(cfg.API.VenusAuthURL, o.Clock)
		if err != nil {
			return err
		}
		n.opened.Then(stop)
		verifiers = append(verifiers, judge)
	}
	srv := rpc.NewServer(rpc.Options{
		Verify: rpc.FirstOf(verifiers...), Anonymous: []api.Permission{api.PermRead}, Origins: cfg.API.AccessControlAllowOrigin,
		Health: with.health, Meter: with.meters, Clock: o.Clock,
	})
	if err := n.register(srv); err != nil {
		return err
	}
	srv.Handle("/metrics", with.meters.Handler())
	s, err := daemon.Serve(r, n.base, srv, daemon.Listening{
		Address: cfg.API.APIAddress, Choose: "with --api or api.apiAddress in " + r.Path(configName),
	})
	if err != nil {
		return err
	}
	n.opened.Add(s.Close)
	n.Address = s.Address
	return nil
}
