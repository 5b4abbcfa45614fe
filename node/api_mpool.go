package node

import (
	"context"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/mpool"
	"github.com/filecoin-venus/venus/types"
)

type mpoolAPI struct {
	reader
	pool    *mpool.Pool
	publish func(context.Context, *types.SignedMessage) error
}

func (a mpoolAPI) MpoolPush(ctx context.Context, m *types.SignedMessage) (cid.Cid, error) {
	if m == nil {
		return cid.Undef, api.Errorf(api.CodeInvalid, "push: no message")
	}
	return a.pool.Push(ctx, m)
}

func (a mpoolAPI) MpoolPushUntrusted(ctx context.Context, m *types.SignedMessage) (cid.Cid, error) {
	if m == nil {
		return cid.Undef, api.Errorf(api.CodeInvalid, "push: no message")
	}
	return a.pool.PushUntrusted(ctx, m)
}

func inOrder(ctx context.Context, msgs []*types.SignedMessage, push func(context.Context, *types.SignedMessage) (cid.Cid, error)) ([]cid.Cid, error) {
	out := make([]cid.Cid, 0, len(msgs))
	for _, m := range msgs {
		c, err := push(ctx, m)
		if err != nil {
			return out, err
		}
		out = append(out, c)
	}
	return out, nil
}

func (a mpoolAPI) MpoolBatchPush(ctx context.Context, msgs []*types.SignedMessage) ([]cid.Cid, error) {
	return inOrder(ctx, msgs, a.MpoolPush)
}

func (a mpoolAPI) MpoolBatchPushUntrusted(ctx context.Context, msgs []*types.SignedMessage) ([]cid.Cid, error) {
	return inOrder(ctx, msgs, a.MpoolPushUntrusted)
}

func (a mpoolAPI) MpoolPublishByAddr(ctx context.Context, addr address.Address) error {
	msgs, err := a.pool.PendingOf(ctx, addr)
	if err != nil {
		return err
	}
	for _, m := range msgs {
		if err := a.publish(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (a mpoolAPI) MpoolPublishMessage(ctx context.Context, m *types.SignedMessage) error {
	if m == nil {
		return api.Errorf(api.CodeInvalid, "publish: no message")
	}
	return a.publish(ctx, m)
}

func (a mpoolAPI) MpoolGetNonce(ctx context.Context, addr address.Address) (uint64, error) {
	return a.pool.NextNonce(ctx, addr)
}

// MpoolPending leaves out what the chain up to the tipset has executed.
func (a mpoolAPI) MpoolPending(ctx context.Context, key types.TipSetKey) ([]*types.SignedMessage, error) {
	pending, stands := a.pool.Pending()
	if key.IsEmpty() || key == stands.Key() {
		return pending, nil
	}
	ts, err := a.tipset(ctx, key)
	if err != nil {
		return nil, err
	}
	after, err := (poolChain{a.reader}).stateAfter(ctx, ts)
	if err != nil {
		return nil, err
	}
	nonces := map[address.Address]uint64{}
	out := make([]*types.SignedMessage, 0, len(pending))
	for _, m := range pending {
		n, known := nonces[m.Message.From]
		if !known {
			if act, err := after.Actor(ctx, m.Message.From); err == nil {
				n = act.Nonce
			}
			nonces[m.Message.From] = n
		}
		if m.Message.Nonce >= n {
			out = append(out, m)
		}
	}
	return out, nil
}

func (a mpoolAPI) MpoolSelect(ctx context.Context, key types.TipSetKey, quality float64) ([]*types.SignedMessage, error) {
	ts, err := a.tipset(ctx, key)
	if err != nil {
		return nil, err
	}
	return a.pool.Select(ctx, ts, quality)
}

func (a mpoolAPI) MpoolSelects(ctx context.Context, key types.TipSetKey, qualities []float64) ([][]*types.SignedMessage, error) {
	ts, err := a.tipset(ctx, key)
	if err != nil {
		return nil, err
	}
	return a.pool.SelectMany(ctx, ts, qualities)
}

func (a mpoolAPI) MpoolSub(ctx context.Context) (<-chan apinode.MpoolUpdate, error) {
	in := a.pool.Subscribe(ctx)
	out := make(chan apinode.MpoolUpdate)
	go func() {
		defer close(out)
		for u := range in {
			select {
			case out <- apinode.MpoolUpdate{Type: u.Type, Message: u.Message}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func (a mpoolAPI) MpoolClear(ctx context.Context, local bool) error { return a.pool.Clear(ctx, local) }

func (a mpoolAPI) MpoolGetConfig(context.Context) (*apinode.MpoolConfig, error) {
	c := a.pool.Config()
	return &apinode.MpoolConfig{
		PriorityAddrs: c.PriorityAddrs, SizeLimitHigh: c.SizeLimitHigh, SizeLimitLow: c.SizeLimitLow, ReplaceByFeeRatio: c.ReplaceByFeeRatio,
		PruneCooldown: c.PruneCooldown, GasLimitOverestimation: c.GasLimitOverestimation,
	}, nil
}

func (a mpoolAPI) MpoolSetConfig(ctx context.Context, c *apinode.MpoolConfig) error {
	if c == nil {
		return api.Errorf(api.CodeInvalid, "set pool config: no config")
	}
	return a.pool.SetConfig(ctx, mpool.Config{
		PriorityAddrs: c.PriorityAddrs, SizeLimitHigh: c.SizeLimitHigh, SizeLimitLow: c.SizeLimitLow, ReplaceByFeeRatio: c.ReplaceByFeeRatio,
		PruneCooldown: c.PruneCooldown, GasLimitOverestimation: c.GasLimitOverestimation,
	})
}

type gasAPI struct {
	reader
	est *mpool.Estimator
}

func spec(s *apinode.MessageSendSpec) mpool.Spec {
	if s == nil {
		return mpool.Spec{}
	}
	return mpool.Spec{MaxFee: s.MaxFee, GasOverEstimation: s.GasOverEstimation}
}

func (a gasAPI) GasEstimateMessageGas(ctx context.Context, m *types.Message, s *apinode.MessageSendSpec, key types.TipSetKey) (*types.Message, error) {
	if m == nil {
		return nil, api.Errorf(api.CodeInvalid, "estimate gas: no message")
	}
	ts, err := a.tipset(ctx, key)
	if err != nil {
		return nil, err
	}
	return a.est.MessageGas(ctx, m, spec(s), ts)
}

func (a gasAPI) GasBatchEstimateMessageGas(ctx context.Context, msgs []*apinode.EstimateMessage, from uint64, key types.TipSetKey) ([]*apinode.EstimateResult, error) {
	ts, err := a.tipset(ctx, key)
	if err != nil {
		return nil, err
	}
	items := make([]mpool.BatchItem, len(msgs))
	for i, m := range msgs {
		if m == nil || m.Msg == nil {
			return nil, api.Errorf(api.CodeInvalid, "estimate gas: message %d is missing", i)
		}
		items[i] = mpool.BatchItem{Msg: m.Msg, Spec: spec(m.Spec)}
	}
	res, err := a.est.Batch(ctx, items, from, ts)
	if err != nil {
		return nil, err
	}
	out := make([]*apinode.EstimateResult, len(res))
	for i, r := range res {
		out[i] = &apinode.EstimateResult{Msg: r.Msg}
		if r.Err != nil {
			out[i].Err = r.Err.Error()
		}
	}
	return out, nil
}

func (a gasAPI) GasEstimateGasLimit(ctx context.Context, m *types.Message, key types.TipSetKey) (int64, error) {
	if m == nil {
		return 0, api.Errorf(api.CodeInvalid, "estimate gas: no message")
	}
	ts, err := a.tipset(ctx, key)
	if err != nil {
		return 0, err
	}
	return a.est.GasLimit(ctx, m, ts)
}

func (a gasAPI) GasEstimateFeeCap(ctx context.Context, m *types.Message, blocks int64, key types.TipSetKey) (abi.TokenAmount, error) {
	if m == nil {
		return abi.TokenAmount{}, api.Errorf(api.CodeInvalid, "estimate fee cap: no message")
	}
	ts, err := a.tipset(ctx, key)
	if err != nil {
		return abi.TokenAmount{}, err
	}
	return a.est.FeeCap(m, blocks, ts), nil
}

func (a gasAPI) GasEstimateGasPremium(ctx context.Context, blocks uint64, _ address.Address, _ int64, key types.TipSetKey) (abi.TokenAmount, error) {
	ts, err := a.tipset(ctx, key)
	if err != nil {
		return abi.TokenAmount{}, err
	}
	return a.est.Premium(ctx, blocks, ts)
}
