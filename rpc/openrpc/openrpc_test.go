package openrpc

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/types"
)

type inner struct {
	Self  *inner
	Notes []string `json:"notes,omitempty"`
	quiet int
}

type outer struct {
	inner
	Who    address.Address
	Amount big.Int
	At     cid.Cid
	Bits   bitfield.BitField
	Raw    []byte
	Any    any
	Hidden int `json:"-"`
}

type proxy struct {
	Internal struct {
		Do    func(context.Context, int64, []outer) (*outer, error)         `perm:"sign" args:"n,list" doc:"Do does it."`
		Watch func(context.Context) (<-chan types.MessageReceipt, error)    `perm:"read" doc:"Watch streams."`
		Set   func(context.Context, map[string]types.TipSetKey, bool) error `perm:"admin" args:"keys,on" doc:"Set sets."`
	}
}

func TestDocument(t *testing.T) {
	doc, err := Document("toy", "1", "Filecoin", new(proxy))
	require.NoError(t, err)
	raw, err := json.Marshal(doc)
	require.NoError(t, err)
	var got struct {
		Methods []struct {
			Name    string
			Summary string
			Params  []struct {
				Name   string
				Schema map[string]any
			}
			Result     struct{ Schema map[string]any }
			Permission string `json:"x-permission"`
			Stream     bool   `json:"x-stream"`
		}
		Components struct {
			Schemas map[string]struct{ Properties map[string]map[string]any }
		}
	}
	require.NoError(t, json.Unmarshal(raw, &got))
	require.Len(t, got.Methods, 3)
	do, watch, set := got.Methods[0], got.Methods[1], got.Methods[2]
	require.Equal(t, "Filecoin.Do", do.Name)
	require.Equal(t, "Do does it.", do.Summary)
	require.Equal(t, "sign", do.Permission)
	require.Equal(t, "list", do.Params[1].Name)
	require.Equal(t, map[string]any{"$ref": "#/components/schemas/openrpc.outer"}, do.Params[1].Schema["items"])
	require.True(t, watch.Stream)
	require.Equal(t, map[string]any{"$ref": "#/components/schemas/types.MessageReceipt"}, watch.Result.Schema)
	require.Equal(t, map[string]any{"type": "null"}, set.Result.Schema)
	fields := got.Components.Schemas["openrpc.outer"].Properties
	require.Len(t, fields, 8, "embedded fields are there, hidden ones are not")
	require.Equal(t, "string", fields["Amount"]["type"])
	require.Equal(t, "base64", fields["Raw"]["contentEncoding"])
	require.Contains(t, fields, "notes")
	require.Equal(t, "#/components/schemas/openrpc.inner", fields["Self"]["oneOf"].([]any)[0].(map[string]any)["$ref"])
	again, err := Document("toy", "1", "Filecoin", new(proxy))
	require.NoError(t, err)
	require.Equal(t, doc, again)
	_ = inner{quiet: 1}
}

type odd struct{}

func (odd) MarshalJSON() ([]byte, error) { return []byte("1"), nil }

func TestDocumentRefuses(t *testing.T) {
	for what, p := range map[string]any{
		"want a pointer": proxy{},
		"1 names for 0 parameters": new(struct {
			Internal struct {
				Do func(context.Context) error `args:"x"`
			}
		}),
		"writes its own JSON": new(struct {
			Internal struct {
				Do func(context.Context) (odd, error)
			}
		}),
		"has no JSON": new(struct {
			Internal struct {
				Do func(context.Context) (func(), error)
			}
		}),
	} {
		_, err := Document("toy", "1", "Filecoin", p)
		require.ErrorContains(t, err, what)
	}
}

// TestShadowsAreTrue: types in the table write exactly the fields described.
func TestShadowsAreTrue(t *testing.T) {
	b := types.BlockHeader{Miner: address.TestAddress, Ticket: &types.Ticket{VRFProof: []byte{1}}, ParentWeight: big.Zero(), ParentBaseFee: big.Zero()}
	root, err := cid.Decode("bafy2bzacecnamqgqmifpluoeldx7zzglxcljo6oja4vrmtj7432rphldpdmm2")
	require.NoError(t, err)
	b.ParentStateRoot, b.ParentMessageReceipts, b.Messages = root, root, root
	ts, err := types.NewTipSet([]*types.BlockHeader{&b})
	require.NoError(t, err)
	m := &types.Message{To: address.TestAddress, From: address.TestAddress2, Value: big.Zero(), GasFeeCap: big.Zero(), GasPremium: big.Zero()}
	p := new(struct {
		Internal struct {
			Do func(context.Context, types.TipSet, types.Message, types.SignedMessage) error `args:"a,b,c"`
		}
	})
	doc, err := Document("toy", "1", "Filecoin", p)
	require.NoError(t, err)
	schemas := doc["components"].(object)["schemas"].(object)
	for name, v := range map[string]any{"types.TipSet": ts, "types.Message": m, "types.SignedMessage": &types.SignedMessage{Message: *m}} {
		raw, err := json.Marshal(v)
		require.NoError(t, err)
		var have map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(raw, &have))
		props := schemas[name].(object)["properties"].(object)
		require.Len(t, props, len(have), name)
		for k := range have {
			require.Contains(t, props, k, name)
		}
	}
}
