package vm

import (
	"context"
	"errors"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/proof"
)

// errNotConfigured stops an execution that asks for what its Config lacks; an
// answer made up here would be an outcome that other nodes do not see.
var errNotConfigured = errors.New("the machine was opened without it")

// nothing stands in for parts that a Config leaves out.
type nothing struct{}

func (nothing) TicketRandomness(context.Context, crypto.DomainSeparationTag, abi.ChainEpoch, []byte) ([]byte, error) {
	return nil, errNotConfigured
}

func (nothing) BeaconRandomness(context.Context, crypto.DomainSeparationTag, abi.ChainEpoch, []byte) ([]byte, error) {
	return nil, errNotConfigured
}

func (nothing) VerifySeal(context.Context, proof.SealVerifyInfo) (bool, error) {
	return false, errNotConfigured
}

func (nothing) VerifySealBatch(context.Context, []proof.SealVerifyInfo) ([]bool, error) {
	return nil, errNotConfigured
}

func (nothing) VerifyWindowPoSt(context.Context, proof.WindowPoStVerifyInfo) (bool, error) {
	return false, errNotConfigured
}

func (nothing) VerifyAggregateSeals(context.Context, proof.AggregateSealVerifyProofAndInfos) (bool, error) {
	return false, errNotConfigured
}

func (nothing) VerifyReplicaUpdate(context.Context, proof.ReplicaUpdateInfo) (bool, error) {
	return false, errNotConfigured
}
