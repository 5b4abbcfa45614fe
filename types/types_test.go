package types

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/vectors"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

func TestUnsignedMessageVectors(t *testing.T) {
	var cases []struct {
		Message *Message
		Hex     string `json:"hex_cbor"`
	}
	vectors.JSON(t, "serialization/unsigned_messages.json", &cases)
	require.NotEmpty(t, cases)
	for _, c := range cases {
		b, err := c.Message.Serialize()
		require.NoError(t, err)
		require.Equal(t, c.Hex, hex.EncodeToString(b))
		back, err := DecodeMessage(b)
		require.NoError(t, err)
		require.Equal(t, c.Message.Cid(), back.Cid())
		require.Equal(t, len(b), back.ChainLength())
	}
	vectors.Count(t, "serialization/unsigned_messages.json", len(cases))
}

func TestBlockHeaderVectors(t *testing.T) {
	var cases []struct {
		Block *BlockHeader
		Hex   string `json:"cbor_hex"`
		Cid   string
	}
	vectors.JSON(t, "serialization/block_headers.json", &cases)
	require.NotEmpty(t, cases)
	for _, c := range cases {
		b, err := c.Block.Serialize()
		require.NoError(t, err)
		require.Equal(t, c.Hex, hex.EncodeToString(b))
		require.Equal(t, c.Cid, c.Block.Cid().String())
	}
	vectors.Count(t, "serialization/block_headers.json", len(cases))
}

func TestMessageSigningVectors(t *testing.T) {
	var cases []struct {
		Unsigned    *Message
		Cid         string
		CidHexBytes string
		Signature   gscrypto.Signature
	}
	vectors.JSON(t, "serialization/message_signing.json", &cases)
	require.NotEmpty(t, cases)
	for _, c := range cases {
		require.Equal(t, c.Cid, c.Unsigned.Cid().String())
		require.Equal(t, c.CidHexBytes, hex.EncodeToString(c.Unsigned.Cid().Bytes()))
		signed := &SignedMessage{Message: *c.Unsigned, Signature: c.Signature}
		require.Equal(t, c.Unsigned.Cid(), signed.Cid(), "a BLS message keeps its unsigned identity")
	}
	vectors.Count(t, "serialization/message_signing.json", len(cases))
}

func TestMainnetMessages(t *testing.T) {
	var file struct {
		Cases []struct{ Cid, Raw, Kind string }
	}
	vectors.JSON(t, "chain/messages.json", &file)
	require.Len(t, file.Cases, 123)
	for _, c := range file.Cases {
		var m ChainMsg
		var err error
		if c.Kind == "bls" {
			m, err = DecodeMessage(unhex(t, c.Raw))
		} else {
			m, err = DecodeSignedMessage(unhex(t, c.Raw))
		}
		require.NoError(t, err)
		require.Equal(t, c.Cid, m.Cid().String())
		require.Equal(t, len(c.Raw)/2, m.ChainLength())
	}
	vectors.Count(t, "chain/messages.json", len(file.Cases))
}

func TestMainnetHeaders(t *testing.T) {
	var file struct {
		Cases []struct{ Cid, Raw string }
	}
	vectors.JSON(t, "chain/block-headers.json", &file)
	require.Len(t, file.Cases, 24)
	for _, c := range file.Cases {
		h, err := DecodeBlock(unhex(t, c.Raw))
		require.NoError(t, err)
		require.Equal(t, c.Cid, h.Cid().String())
		j, err := json.Marshal(h)
		require.NoError(t, err)
		var back BlockHeader
		require.NoError(t, json.Unmarshal(j, &back))
		require.Equal(t, h.Cid(), back.Cid())
		_, err = NewTipSet([]*BlockHeader{h})
		require.NoError(t, err)
	}
	vectors.Count(t, "chain/block-headers.json", len(file.Cases))
}

func TestSigningBytes(t *testing.T) {
	var headers struct {
		Cases []struct{ Cid, Raw string }
	}
	vectors.JSON(t, "chain/block-headers.json", &headers)
	raw := map[string]string{}
	for _, c := range headers.Cases {
		raw[c.Cid] = c.Raw
	}
	var file struct {
		Cases []struct {
			Cid          string
			SigningBytes string `json:"signing_bytes"`
		}
	}
	vectors.JSON(t, "chain/block-signatures.json", &file)
	checked := 0
	for _, c := range file.Cases {
		if raw[c.Cid] == "" {
			continue
		}
		h, err := DecodeBlock(unhex(t, raw[c.Cid]))
		require.NoError(t, err)
		b, err := h.SigningBytes()
		require.NoError(t, err)
		require.Equal(t, c.SigningBytes, hex.EncodeToString(b))
		checked++
	}
	vectors.Count(t, "chain/block-signatures.json", checked)
	require.Equal(t, 16, checked, "eight more signatures are over headers that are altered or not listed")
}

func header(t *testing.T, ticket byte) *BlockHeader {
	t.Helper()
	c, err := cid.Decode("bafy2bzacebc3bt6cedhoyw34drrmjvazhu4oj25er2ebk4u445pzycvq4ta4a")
	require.NoError(t, err)
	miner, err := address.NewIDAddress(1000)
	require.NoError(t, err)
	return &BlockHeader{
		Miner: miner, Ticket: &Ticket{VRFProof: []byte{ticket}}, ElectionProof: &ElectionProof{WinCount: 1},
		Parents: []cid.Cid{c}, ParentWeight: big.NewInt(7), Height: 5, ParentStateRoot: c, ParentMessageReceipts: c, Messages: c,
		ParentBaseFee: big.NewInt(100), Timestamp: 100 + uint64(ticket),
	}
}

func TestTipSetOrderAndKey(t *testing.T) {
	a, b, c := header(t, 1), header(t, 2), header(t, 3)
	one, err := NewTipSet([]*BlockHeader{a, b, c})
	require.NoError(t, err)
	other, err := NewTipSet([]*BlockHeader{c, a, b})
	require.NoError(t, err)
	require.Equal(t, one.Key(), other.Key())
	require.True(t, one.Equals(other))
	require.EqualValues(t, 101, one.MinTimestamp())
	for i := 1; i < 3; i++ {
		require.True(t, one.Blocks()[i-1].Ticket.Less(one.Blocks()[i].Ticket))
	}
	back, err := TipSetKeyFromBytes(one.Key().Bytes())
	require.NoError(t, err)
	require.Equal(t, one.Cids(), back.Cids())

	j, err := json.Marshal(one)
	require.NoError(t, err)
	var again TipSet
	require.NoError(t, json.Unmarshal(j, &again))
	require.Equal(t, one.Key(), again.Key())

	var buf bytes.Buffer
	require.NoError(t, one.Key().MarshalCBOR(&buf))
	var key TipSetKey
	require.NoError(t, key.UnmarshalCBOR(&buf))
	require.Equal(t, one.Key(), key)

	odd := header(t, 4)
	odd.Height++
	_, err = NewTipSet([]*BlockHeader{a, odd})
	require.Error(t, err)
	_, err = NewTipSet([]*BlockHeader{a, a})
	require.ErrorContains(t, err, "twice")
	_, err = NewTipSet(nil)
	require.Error(t, err)
}

func TestTipSetKeyJSON(t *testing.T) {
	var k TipSetKey
	for _, empty := range []string{"null", "[]"} {
		require.NoError(t, json.Unmarshal([]byte(empty), &k))
		require.True(t, k.IsEmpty())
	}
	b, err := json.Marshal(EmptyTSK)
	require.NoError(t, err)
	require.Equal(t, "[]", string(b))
	require.Error(t, json.Unmarshal([]byte(`[null]`), &k))
}

func TestFIL(t *testing.T) {
	for in, want := range map[string]string{
		"1": "1 FIL", "1.5 FIL": "1.5 FIL", "20nFIL": "0.00000002 FIL", "100 attofil": "0.0000000000000001 FIL", "-2": "-2 FIL", "0": "0 FIL",
	} {
		f, err := ParseFIL(in)
		require.NoError(t, err, in)
		require.Equal(t, want, f.String())
		again, err := ParseFIL(f.String())
		require.NoError(t, err)
		require.Equal(t, f, again)
	}
	for _, bad := range []string{"", "FIL", "1.2.3", "1 dollar", "0.5 attofil", "1e9", "1/2", "--1"} {
		_, err := ParseFIL(bad)
		require.Error(t, err, bad)
	}
	for atto, want := range map[int64]string{0: "0", 100: "100 aFIL", 93_750_000_000_000_000: "93.75 mFIL", 1_000_000_000_000_000_000: "1 FIL", 1_234_567_000_000_000_000: "1.234 FIL"} {
		require.Equal(t, want, FIL(big.NewInt(atto)).Short())
	}
}

func TestKeyInfo(t *testing.T) {
	var k KeyInfo
	require.NoError(t, json.Unmarshal([]byte(`{"Type":"bls","PrivateKey":"AQI="}`), &k))
	require.Equal(t, KeyBLS, k.Type)
	require.NoError(t, json.Unmarshal([]byte(`{"Type":1,"PrivateKey":"AQI="}`), &k))
	require.Equal(t, KeySecp256k1, k.Type)
	require.Error(t, json.Unmarshal([]byte(`{"Type":"rsa"}`), &k))
	require.NotContains(t, k.String(), "AQI")
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{0x8a, 0x00}, byte(0))
	f.Add([]byte{0x90, 0x43, 0x00, 0xe8, 0x07}, byte(2))
	f.Fuzz(func(t *testing.T, b []byte, kind byte) {
		var again []byte
		switch kind % 4 {
		case 0:
			m, err := DecodeMessage(b)
			if err != nil {
				return
			}
			again, err = m.Serialize()
			require.NoError(t, err)
		case 1:
			m, err := DecodeSignedMessage(b)
			if err != nil {
				return
			}
			again, err = m.Serialize()
			require.NoError(t, err)
		case 2:
			h, err := DecodeBlock(b)
			if err != nil {
				return
			}
			again, err = h.Serialize()
			require.NoError(t, err)
		default:
			m, err := DecodeBlockMsg(b)
			if err != nil {
				return
			}
			again, err = m.Serialize()
			require.NoError(t, err)
		}
		require.LessOrEqual(t, len(again), len(b)+16, "decoding must not grow what it read")
	})
}

// TestSumIsThePrefix: the short way to a CID and the library's are one.
func TestSumIsThePrefix(t *testing.T) {
	for _, data := range [][]byte{nil, {0x80}, bytes.Repeat([]byte{7}, 1000)} {
		want, err := CidPrefix.Sum(data)
		require.NoError(t, err)
		require.Equal(t, want, Sum(data))
	}
}

// TestFILPrintsItsUnit: whatever prints an amount prints FIL, never bare attoFIL.
func TestFILPrintsItsUnit(t *testing.T) {
	f := FIL(big.NewInt(1_500_000_000_000_000_000))
	require.Equal(t, "1.5 FIL 1.5 FIL [1.5 FIL]", fmt.Sprintf("%s %v %v", f, f, []FIL{f}))
	require.Equal(t, "1500000000000000000", fmt.Sprintf("%d", f))
	require.Equal(t, "0 FIL", fmt.Sprint(FIL{}))
}
