package conformance

import (
	"math"
	"strconv"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/consensus"
	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
)

type addressCases struct {
	Derive []struct {
		Kind    string   `json:"kind"`
		Input   hexBytes `json:"input"`
		Bytes   string   `json:"bytes"`
		CBOR    hexBytes `json:"cbor"`
		Payload string   `json:"payload"`
		Mainnet string   `json:"mainnet"`
		Testnet string   `json:"testnet"`
	} `json:"derive"`
	Strings []struct {
		Text  string `json:"string"`
		Bytes string `json:"bytes"`
		Valid bool   `json:"valid"`
	} `json:"strings"`
	Raw []struct {
		Bytes hexBytes `json:"bytes"`
		Valid bool     `json:"valid"`
	} `json:"raw"`
	Robust []struct {
		Origin   string   `json:"origin"`
		Preimage hexBytes `json:"preimage"`
		Address  string   `json:"robust_address"`
	} `json:"robust"`
}

func derive(t *testing.T, kind string, input []byte) address.Address {
	t.Helper()
	var a address.Address
	var err error
	switch kind {
	case "secp256k1_pubkey":
		a, err = address.NewSecp256k1Address(input)
	case "bls_pubkey":
		a, err = address.NewBLSAddress(input)
	case "actor_data":
		a, err = address.NewActorAddress(input)
	case "id":
		var id uint64
		id, err = strconv.ParseUint(string(input), 10, 64)
		require.NoError(t, err)
		a, err = address.NewIDAddress(id)
	default:
		t.Fatalf("address of unknown kind %s", kind)
	}
	require.NoError(t, err)
	return a
}

// prefixed writes an address with the prefix of a network.
func prefixed(a address.Address, prefix string) string { return prefix + a.String()[1:] }

func TestAddresses(t *testing.T) {
	const file = "primitives/address.json"
	v := casesOf[addressCases](t, file)
	for _, c := range v.Derive {
		a := derive(t, c.Kind, c.Input)
		require.Equal(t, c.Bytes, hexBytes(a.Bytes()).String())
		require.Equal(t, c.Payload, hexBytes(a.Payload()).String())
		require.Equal(t, c.CBOR.String(), encoded(t, &a))
		var back address.Address
		decode(t, c.CBOR, &back)
		require.Equal(t, a, back)
		for prefix, text := range map[string]string{"f": c.Mainnet, "t": c.Testnet} {
			require.Equal(t, text, prefixed(a, prefix))
			back, err := address.NewFromString(text)
			require.NoError(t, err)
			require.Equal(t, a, back)
		}
	}
	wide := 0
	for _, c := range v.Strings {
		if c.Valid && isWideID(c.Text) {
			_, err := address.NewFromString(c.Text)
			require.Error(t, err)
			wide++
			continue
		}
		a, err := address.NewFromString(c.Text)
		require.Equal(t, c.Valid, err == nil, "%s: %v", c.Text, err)
		if c.Valid {
			require.Equal(t, c.Bytes, hexBytes(a.Bytes()).String())
		}
	}
	for _, c := range v.Raw {
		a, err := address.NewFromBytes(c.Bytes)
		if err == nil && a.Protocol() == address.Delegated {
			err = refusedInMessages(t, a)
		}
		require.Equal(t, c.Valid, err == nil, "%s: %v", c.Bytes, err)
	}
	for _, c := range v.Robust {
		a, err := address.NewActorAddress(c.Preimage)
		require.NoError(t, err)
		require.Equal(t, c.Address, prefixed(a, "t"))
		origin, err := address.NewFromString(c.Origin)
		require.NoError(t, err)
		require.Equal(t, encoded(t, &origin), hexBytes(c.Preimage[:len(c.Preimage)-16]).String())
	}
	vectors.Count(t, file, len(v.Derive)+len(v.Strings)-wide+len(v.Raw)+len(v.Robust))
	vectors.NotApplicable(t, file, wide, "text of an ID of 2^63 or more: go-address v1 refuses what v0.0.5 took; no actor has such an ID")
}

// refusedInMessages says why no message may carry the address: the library reads
// the delegated class of later networks, so the house's own rule keeps it out.
func refusedInMessages(t *testing.T, a address.Address) error {
	t.Helper()
	from := must(address.NewIDAddress(100))
	m := &types.Message{To: from, From: from, Value: big.Zero(), GasLimit: params.BlockGasLimit, GasFeeCap: big.Zero(), GasPremium: big.Zero()}
	require.NoError(t, consensus.CheckMessageSyntax(m, m.ChainLength()))
	m.To = a
	err := consensus.CheckMessageSyntax(m, m.ChainLength())
	m.To, m.From = from, a
	require.Equal(t, err == nil, consensus.CheckMessageSyntax(m, m.ChainLength()) == nil)
	return err
}

// isWideID tells whether the text is an ID address of 2^63 or more.
func isWideID(text string) bool {
	if len(text) < 3 || text[1] != '0' {
		return false
	}
	id, err := strconv.ParseUint(text[2:], 10, 64)
	return err == nil && id > math.MaxInt64
}
