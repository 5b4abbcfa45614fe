package vm

import (
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
)

// The price list in force since Calico (node-nv15.md 1.2). Compute gas has
// factor 1; a byte of storage costs storageByte.
const (
	storageByte = 1300

	gasOnChainMessage      = 38863
	onChainMessageOverhead = 36 // bytes

	gasInvocation     = 29233
	gasTransfer       = 27500
	gasPlainTransfer  = 159672
	gasInvocationCall = -5377

	gasIpldGet = 114617
	gasIpldPut = 353640

	gasCreateActor   = 1108454
	createActorBytes = 76

	gasVerifySecp          = 1637292
	gasVerifyBLS           = 16598605
	gasHash                = 31355
	gasUnsealedCID         = 98647
	gasVerifySeal          = 2000
	gasVerifyPoSt          = 117680921
	gasVerifyPoStSector    = 43780
	gasConsensusFault      = 495422
	gasVerifyReplicaUpdate = 36316136

	gasAggregatePer32GiB = 449900
	gasAggregatePer64GiB = 359272

	// What gas would be if proof batches were priced; shown in traces only.
	virtualIpldPut        = 400000
	virtualBatchSealBase  = 899741502
	virtualBatchSealProof = 15075005
)

// step is one row of the aggregate proofs' table: the cost from count on.
type step struct{ count, gas int64 }

func aggregateSteps32GiB() []step {
	return []step{
		{4, 103994170}, {7, 112356810}, {13, 122912610}, {26, 137559930},
		{52, 162039100}, {103, 210960780}, {205, 318351180}, {410, 528274980},
	}
}

func aggregateSteps64GiB() []step {
	return []step{
		{4, 102581240}, {7, 110803030}, {13, 120803700}, {26, 134642130},
		{52, 157357890}, {103, 203017690}, {205, 304253590}, {410, 509880640},
	}
}

// charge is one item on the bill. Compute and storage are gas; the virtual
// parts are shown in traces and never paid.
type charge struct {
	name             string
	compute, storage int64
	virtualCompute   int64
	virtualStorage   int64
}

func (c charge) total() int64 { return c.compute + c.storage }

// OnChainMessageGas is the price of carrying a message of that many bytes in a
// block: the least gas limit a message can have.
func OnChainMessageGas(length int) int64 { return onChainMessage(length).total() }

func onChainMessage(length int) charge {
	return charge{
		name:    "OnChainMessage",
		compute: gasOnChainMessage,
		storage: (onChainMessageOverhead + int64(length)) * storageByte,
	}
}

func onChainReturn(length int) charge {
	return charge{name: "OnChainReturnValue", storage: int64(length) * storageByte}
}

func onInvocation(value abi.TokenAmount, method abi.MethodNum) charge {
	c := charge{name: "OnMethodInvocation", compute: gasInvocation}
	if hasValue(value) {
		c.compute += gasTransfer
		if method == builtin.MethodSend {
			c.compute += gasPlainTransfer
		}
	}
	if method != builtin.MethodSend {
		c.compute += gasInvocationCall
	}
	return c
}

func onIpldGet() charge {
	return charge{name: "OnIpldGet", compute: gasIpldGet, virtualCompute: gasIpldGet}
}

func onIpldPut(length int) charge {
	bytes := int64(length) * storageByte
	return charge{
		name: "OnIpldPut", compute: gasIpldPut, storage: bytes,
		virtualCompute: virtualIpldPut, virtualStorage: bytes,
	}
}

func onCreateActor() charge {
	return charge{name: "OnCreateActor", compute: gasCreateActor, storage: createActorBytes * storageByte}
}

func onDeleteActor() charge {
	return charge{name: "OnDeleteActor", storage: -createActorBytes * storageByte}
}

func onVerifySignature(t crypto.SigType) (charge, error) {
	switch t {
	case crypto.SigTypeSecp256k1:
		return charge{name: "OnVerifySignature", compute: gasVerifySecp}, nil
	case crypto.SigTypeBLS:
		return charge{name: "OnVerifySignature", compute: gasVerifyBLS}, nil
	}
	return charge{}, fmt.Errorf("signature type %d has no price", t)
}

func onHashing() charge { return charge{name: "OnHashing", compute: gasHash} }

func onUnsealedCID() charge {
	return charge{name: "OnComputeUnsealedSectorCid", compute: gasUnsealedCID}
}

func onVerifySeal() charge { return charge{name: "OnVerifySeal", compute: gasVerifySeal} }

func onBatchVerifySeals(proofs int) charge {
	return charge{name: "BatchVerifySeals", virtualCompute: virtualBatchSealProof*int64(proofs) + virtualBatchSealBase}
}

func onVerifyPoSt(info proof.WindowPoStVerifyInfo) charge {
	gas := gasVerifyPoSt + gasVerifyPoStSector*int64(len(info.ChallengedSectors))
	return charge{name: "OnVerifyPost", compute: gas, virtualCompute: gas}
}

func onConsensusFault() charge {
	return charge{name: "OnVerifyConsensusFault", compute: gasConsensusFault}
}

func onVerifyReplicaUpdate() charge {
	return charge{name: "OnVerifyReplicaUpdate", compute: gasVerifyReplicaUpdate}
}

// onVerifyAggregate prices by seal type and count; sizes other than 64 GiB cost
// what 32 GiB costs.
func onVerifyAggregate(t abi.RegisteredSealProof, count int) charge {
	n := int64(count)
	per, steps := int64(gasAggregatePer32GiB), aggregateSteps32GiB()
	if t == abi.RegisteredSealProof_StackedDrg64GiBV1_1 {
		per, steps = gasAggregatePer64GiB, aggregateSteps64GiB()
	}
	gas := per * n
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i].count <= n {
			gas += steps[i].gas
			break
		}
	}
	return charge{name: "OnVerifyAggregateSeals", compute: gas}
}

func hasValue(v abi.TokenAmount) bool { return v.Int != nil && v.Sign() != 0 }
