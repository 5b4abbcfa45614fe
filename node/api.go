package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

// API serves api/node.FullNode. It is made of one part a topic.
type API struct {
	commonAPI
	alertsAPI
	chainAPI
	objectAPI
	stateAPI
	minerStateAPI
	marketAPI
	messageAPI
	msigAPI
	mpoolAPI
	gasAPI
	syncAPI
	miningAPI
	netAPI
	peersAPI
	sendAPI // holds the wallet's too
}

// reader is what the topics that read the chain share.
type reader struct {
	net   params.Network
	store *chain.Store
	exec  *chain.Executor
	clock clock.Clock
}

// tipset loads a tipset; the empty key is the head.
func (r reader) tipset(ctx context.Context, key types.TipSetKey) (*types.TipSet, error) {
	if key.IsEmpty() {
		return r.store.Head(), nil
	}
	ts, err := r.store.TipSet(ctx, key)
	switch {
	case errors.Is(err, chain.ErrMissingBlock):
		return nil, api.Errorf(api.CodeNotFound, "tipset %s is not in this node's chain: %w", key, err)
	case errors.Is(err, chain.ErrNotATipSet):
		return nil, api.Errorf(api.CodeInvalid, "%w", err)
	}
	return ts, err
}

// view opens the state before a tipset, which is what questions "at" a tipset
// are about, and returns the tipset too.
func (r reader) view(ctx context.Context, key types.TipSetKey) (*state.View, *types.TipSet, error) {
	ts, err := r.tipset(ctx, key)
	if err != nil {
		return nil, nil, err
	}
	return r.store.View(ts.ParentState()), ts, nil
}

// ancestor walks back from a tipset; after picks the later side of a null round.
func (r reader) ancestor(ctx context.Context, key types.TipSetKey, h abi.ChainEpoch, after bool) (*types.TipSet, error) {
	ts, err := r.tipset(ctx, key)
	if err != nil {
		return nil, err
	}
	if h < 0 || h > ts.Height() {
		return nil, api.Errorf(api.CodeInvalid, "height %d lies outside of the chain, which ends at %d", h, ts.Height())
	}
	if after {
		return r.store.AtOrAfter(ctx, ts, h)
	}
	return r.store.AtOrBefore(ctx, ts, h)
}

// absent turns "no such actor" into an answer for people.
func absent(err error, what string, args ...any) error {
	if errors.Is(err, state.ErrActorNotFound) {
		return api.Errorf(api.CodeNotFound, "%s: actor not found", fmt.Sprintf(what, args...))
	}
	return err
}
