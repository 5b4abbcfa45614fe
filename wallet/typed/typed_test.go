package typed

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/market"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/paych"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/types"
)

func blsAddr(t testing.TB, pub []byte) address.Address {
	a, err := address.NewBLSAddress(pub)
	require.NoError(t, err)
	return a
}

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// Every signature of the vectors must be one over the bytes that Prepare computes.
func TestMainnetBlocks(t *testing.T) {
	var v struct {
		Cases []struct {
			Height       abi.ChainEpoch
			PublicKey    string `json:"public_key"`
			Signature    string
			SigningBytes string `json:"signing_bytes"`
		}
	}
	vectors.JSON(t, "chain/block-signatures.json", &v)
	require.Len(t, v.Cases, 24)
	for _, c := range v.Cases {
		signer := blsAddr(t, unhex(t, c.PublicKey))
		p, err := Prepare(walletapi.TypeBlock, signer, unhex(t, c.SigningBytes), nil)
		require.NoError(t, err)
		require.Equal(t, c.SigningBytes, hex.EncodeToString(p.Bytes))
		require.Equal(t, c.Height, p.Block.Height)
		sig := &gscrypto.Signature{Type: gscrypto.SigTypeBLS, Data: unhex(t, c.Signature)}
		require.NoError(t, crypto.Verify(sig, signer, p.Bytes))
	}
}

func TestMainnetDraws(t *testing.T) {
	for name, tag := range map[string]gscrypto.DomainSeparationTag{
		"tickets": gscrypto.DomainSeparationTag_TicketProduction, "election-proofs": gscrypto.DomainSeparationTag_ElectionProofProduction,
	} {
		var v struct {
			Cases []struct {
				BeaconData string `json:"beacon_data"`
				Entropy    string
				Height     abi.ChainEpoch
				PublicKey  string `json:"public_key"`
				VRFBase    string `json:"vrf_base"`
			}
		}
		vectors.JSON(t, "chain/"+name+".json", &v)
		require.Len(t, v.Cases, 24)
		for _, c := range v.Cases {
			round := c.Height
			if tag == gscrypto.DomainSeparationTag_TicketProduction {
				round--
			}
			raw, err := (&types.DrawRandomParams{Rbase: unhex(t, c.BeaconData), Pers: tag, Round: round, Entropy: unhex(t, c.Entropy)}).Serialize()
			require.NoError(t, err)
			p, err := Prepare(walletapi.TypeDrawRandomParam, blsAddr(t, unhex(t, c.PublicKey)), raw, nil)
			require.NoError(t, err)
			require.Equal(t, c.VRFBase, hex.EncodeToString(p.Bytes))
		}
	}
}

func TestMessageVectors(t *testing.T) {
	var v []struct {
		Unsigned    types.Message
		CidHexBytes string
	}
	vectors.JSON(t, "serialization/message_signing.json", &v)
	require.NotEmpty(t, v)
	for _, c := range v {
		raw, err := c.Unsigned.Serialize()
		require.NoError(t, err)
		for _, toSign := range [][]byte{nil, unhex(t, c.CidHexBytes)} {
			p, err := Prepare(walletapi.TypeMessage, c.Unsigned.From, toSign, raw)
			require.NoError(t, err)
			require.Equal(t, c.CidHexBytes, hex.EncodeToString(p.Bytes))
		}
	}
}

func testMessage(from address.Address) *types.Message {
	to, _ := address.NewIDAddress(99)
	return &types.Message{
		To: to, From: from, Nonce: 4, Value: big.NewInt(10), GasLimit: 1000, GasFeeCap: big.NewInt(2), GasPremium: big.NewInt(1), Method: 2, Params: []byte{1},
	}
}

func secpAddr(t testing.TB) address.Address {
	a, err := address.NewSecp256k1Address([]byte("some public key"))
	require.NoError(t, err)
	return a
}

func testBlock(t testing.TB, signed bool) []byte {
	miner, _ := address.NewIDAddress(1000)
	c := testMessage(miner).Cid()
	h := types.BlockHeader{
		Miner: miner, Ticket: &types.Ticket{VRFProof: []byte{1}}, Parents: nil, ParentWeight: big.Zero(), Height: 5, ParentStateRoot: c,
		ParentMessageReceipts: c, Messages: c, ParentBaseFee: big.NewInt(100),
	}
	if signed {
		h.BlockSig = &gscrypto.Signature{Type: gscrypto.SigTypeBLS, Data: make([]byte, 96)}
	}
	raw, err := h.Serialize()
	require.NoError(t, err)
	return raw
}

func draw(t testing.TB, tag gscrypto.DomainSeparationTag) []byte {
	raw, err := (&types.DrawRandomParams{Rbase: []byte{1}, Pers: tag, Round: 3}).Serialize()
	require.NoError(t, err)
	return raw
}

func TestRefusals(t *testing.T) {
	bls, secp := blsAddr(t, bytes.Repeat([]byte{3}, 48)), secpAddr(t)
	ser := func(m *types.Message) []byte {
		raw, err := m.Serialize()
		require.NoError(t, err)
		return raw
	}
	good := testMessage(secp)
	version1 := testMessage(secp)
	version1.Version = 1
	for name, c := range map[string]struct {
		kind          walletapi.MsgType
		signer        address.Address
		toSign, extra []byte
		reason        string
	}{
		"raw bytes that are a text":  {walletapi.TypeUnknown, secp, []byte("\x19Filecoin"), nil, "raw bytes are never signed"},
		"raw bytes that are a list":  {walletapi.TypeUnknown, secp, []byte{0x90, 1}, nil, "raw bytes are never signed"},
		"nothing":                    {walletapi.TypeUnknown, secp, nil, nil, "nothing to sign"},
		"raw bytes that are a cid":   {walletapi.TypeUnknown, secp, good.Cid().Bytes(), nil, "raw bytes are never signed"},
		"no kind":                    {"", secp, good.Cid().Bytes(), nil, "raw bytes are never signed"},
		"a kind unheard of":          {"blob", secp, good.Cid().Bytes(), nil, "is not one of"},
		"a kind not built":           {walletapi.TypeStorageAsk, secp, []byte{0x80}, nil, "is not one of"},
		"message without the object": {walletapi.TypeMessage, secp, good.Cid().Bytes(), nil, "is missing"},
		"message of another sender":  {walletapi.TypeMessage, bls, nil, ser(good), "not from the signer"},
		"bytes of another message":   {walletapi.TypeMessage, secp, version1.Cid().Bytes(), ser(good), "not the CID"},
		"message version":            {walletapi.TypeMessage, secp, nil, ser(version1), "version 1"},
		"trailing bytes":             {walletapi.TypeMessage, secp, nil, append(ser(good), 0), "trailing"},
		"cut message":                {walletapi.TypeMessage, secp, nil, ser(good)[:20], "decode message"},
		"message as block":           {walletapi.TypeBlock, bls, ser(good), nil, "decode block"},
		"block as message":           {walletapi.TypeMessage, bls, nil, testBlock(t, false), "decode message"},
		"block signed already":       {walletapi.TypeBlock, bls, testBlock(t, true), nil, "signature already"},
		"block by secp key":          {walletapi.TypeBlock, secp, testBlock(t, false), nil, "BLS keys only"},
		"draw by secp key":           {walletapi.TypeDrawRandomParam, secp, draw(t, 1), nil, "BLS keys only"},
		"draw of another tag":        {walletapi.TypeDrawRandomParam, bls, draw(t, 4), nil, "tag 4"},
		"cid as draw":                {walletapi.TypeDrawRandomParam, bls, good.Cid().Bytes(), nil, "decode"},
		"cid as deal":                {walletapi.TypeDealProposal, secp, good.Cid().Bytes(), nil, "decode deal"},
		"cid as voucher":             {walletapi.TypeSignedVoucher, secp, good.Cid().Bytes(), nil, "decode voucher"},
		"huge":                       {walletapi.TypeText, secp, make([]byte, maxRequest+1), nil, "larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Prepare(c.kind, c.signer, c.toSign, c.extra)
			require.ErrorIs(t, err, ErrRefused)
			require.ErrorContains(t, err, c.reason)
			require.Nil(t, p)
		})
	}
}

func TestDealAndVoucher(t *testing.T) {
	client := secpAddr(t)
	provider, _ := address.NewIDAddress(1000)
	d := market.DealProposal{
		PieceCID: testMessage(client).Cid(), PieceSize: 2048, Client: client, Provider: provider, Label: "x", StartEpoch: 1, EndEpoch: 2,
		StoragePricePerEpoch: big.NewInt(1), ProviderCollateral: big.Zero(), ClientCollateral: big.Zero(),
	}
	raw, err := encodeOne(&d)
	require.NoError(t, err)
	p, err := Prepare(walletapi.TypeDealProposal, client, raw, nil)
	require.NoError(t, err)
	require.Equal(t, raw, p.Bytes)
	other, err := address.NewSecp256k1Address([]byte("another"))
	require.NoError(t, err)
	_, err = Prepare(walletapi.TypeDealProposal, other, raw, nil)
	require.ErrorContains(t, err, "client")

	v := paych.SignedVoucher{ChannelAddr: provider, Lane: 1, Nonce: 2, Amount: big.NewInt(3)}
	raw, err = encodeOne(&v)
	require.NoError(t, err)
	p, err = Prepare(walletapi.TypeSignedVoucher, client, raw, nil)
	require.NoError(t, err)
	require.Equal(t, raw, p.Bytes)
	v.Signature = &gscrypto.Signature{Type: gscrypto.SigTypeBLS, Data: []byte{1}}
	raw, err = encodeOne(&v)
	require.NoError(t, err)
	_, err = Prepare(walletapi.TypeSignedVoucher, client, raw, nil)
	require.ErrorContains(t, err, "signature already")
}

// Whatever is asked for under any other kind, the bytes signed are never those of a message.
func TestNothingElseForgesAMessage(t *testing.T) {
	bls := blsAddr(t, bytes.Repeat([]byte{3}, 48))
	cid := testMessage(bls).Cid().Bytes()
	seeds := [][]byte{cid, testBlock(t, false), draw(t, 1), draw(t, 2), {}}
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.OneOf(rapid.SampledFrom(seeds), rapid.SliceOf(rapid.Byte())).Draw(t, "in")
		kind := rapid.SampledFrom(Kinds()).Draw(t, "kind")
		if kind == walletapi.TypeMessage {
			return
		}
		p, err := Prepare(kind, bls, in, cid)
		if err == nil && (bytes.Equal(p.Bytes, cid) || len(p.Bytes) == len(cid) && bytes.Equal(p.Bytes[:6], cid[:6])) {
			t.Fatalf("%s signs a message", kind)
		}
	})
}

func FuzzPrepare(f *testing.F) {
	signer := blsAddr(f, bytes.Repeat([]byte{3}, 48))
	msg, err := testMessage(signer).Serialize()
	require.NoError(f, err)
	f.Add("message", []byte{}, msg)
	f.Add("block", testBlock(f, false), []byte{})
	f.Add("drawrandomparam", draw(f, 1), []byte{})
	f.Add("dealproposal", []byte{0x8b}, []byte{})
	f.Add("signedvoucher", []byte{0x8b}, []byte{})
	f.Fuzz(func(t *testing.T, kind string, toSign, extra []byte) {
		p, err := Prepare(walletapi.MsgType(kind), signer, toSign, extra)
		if err != nil {
			return
		}
		// What was accepted is canonical: asking again with the wallet's own bytes changes nothing.
		if kind == "block" || kind == "dealproposal" || kind == "signedvoucher" {
			again, err := Prepare(walletapi.MsgType(kind), signer, p.Bytes, nil)
			if err != nil || !bytes.Equal(again.Bytes, p.Bytes) {
				t.Fatalf("not a fixed point: %v", err)
			}
		}
		if _, err := json.Marshal(p.Facts); err != nil {
			t.Fatal(err)
		}
	})
}
