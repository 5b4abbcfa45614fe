package node

import (
	"context"
	"errors"

	"github.com/filecoin-project/go-state-types/proof"

	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/verify"
	"github.com/filecoin-venus/venus/vm"
)

// judge is the verifier that messages are executed with. On a network of one's
// own, aggregates and replica updates that this program cannot verify are
// rejected like bad proofs, so that nobody can stop the chain by sending one.
// On a public network they stop the node instead: rejecting what others accept
// would fork it off silently.
func judge(v *verify.Verifier, net params.Network) vm.Verifier {
	if net.Devnet {
		return rejecting{v}
	}
	return v
}

type rejecting struct{ *verify.Verifier }

// VerifyAggregateSeals rejects what it cannot verify.
func (r rejecting) VerifyAggregateSeals(ctx context.Context, info proof.AggregateSealVerifyProofAndInfos) (bool, error) {
	return rejected(r.Verifier.VerifyAggregateSeals(ctx, info))
}

// VerifyReplicaUpdate rejects what it cannot verify.
func (r rejecting) VerifyReplicaUpdate(ctx context.Context, info proof.ReplicaUpdateInfo) (bool, error) {
	return rejected(r.Verifier.VerifyReplicaUpdate(ctx, info))
}

func rejected(ok bool, err error) (bool, error) {
	if errors.Is(err, verify.ErrUnsupported) {
		return false, nil
	}
	return ok, err
}
