package policy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/wallet/typed"
)

var t0 = time.Unix(1_700_000_000, 0)

func key(t testing.TB, name string) address.Address {
	a, err := address.NewSecp256k1Address([]byte(name))
	require.NoError(t, err)
	return a
}

func id(t testing.TB, n uint64) address.Address {
	a, err := address.NewIDAddress(n)
	require.NoError(t, err)
	return a
}

func send(t testing.TB, signer string, nonce int, cost int64) Request {
	return Request{
		Signer: key(t, signer), Token: "tok", Type: walletapi.TypeMessage,
		Spend: &typed.Spend{To: id(t, 1000), Method: 5, Cost: big.NewInt(cost), Slot: fmt.Sprint("nonce ", nonce)},
	}
}

func TestCheck(t *testing.T) {
	msg := send(t, "a", 1, 10)
	raw := Request{Signer: key(t, "a"), Type: walletapi.TypeUnknown}
	block := Request{Signer: key(t, "a"), Type: walletapi.TypeBlock}
	for name, c := range map[string]struct {
		p      walletapi.Policy
		r      Request
		reason string
	}{
		"nothing said":      {walletapi.Policy{}, msg, ""},
		"raw by default":    {walletapi.Policy{}, raw, "raw bytes are never signed"},
		"raw named":         {walletapi.Policy{Types: []walletapi.MsgType{walletapi.TypeUnknown}}, raw, ""},
		"type named":        {walletapi.Policy{Types: []walletapi.MsgType{walletapi.TypeBlock}}, block, ""},
		"type not named":    {walletapi.Policy{Types: []walletapi.MsgType{walletapi.TypeBlock}}, msg, `the type "message"`},
		"no type":           {walletapi.Policy{Types: []walletapi.MsgType{}}, block, `the type "block"`},
		"method":            {walletapi.Policy{Methods: []abi.MethodNum{5}}, msg, ""},
		"another method":    {walletapi.Policy{Methods: []abi.MethodNum{0}}, msg, "the method 5"},
		"method of a block": {walletapi.Policy{Methods: []abi.MethodNum{}}, block, ""},
		"recipient":         {walletapi.Policy{Recipients: []address.Address{id(t, 1000)}}, msg, ""},
		"another recipient": {walletapi.Policy{Recipients: []address.Address{id(t, 1001)}}, msg, "the recipient"},
		"signer":            {walletapi.Policy{Signers: []address.Address{key(t, "a")}}, msg, ""},
		"another signer":    {walletapi.Policy{Signers: []address.Address{key(t, "b")}}, block, "the key"},
		"type nobody knows": {walletapi.Policy{Types: []walletapi.MsgType{walletapi.TypeMessage}}, Request{Type: "new"}, "the type"},
	} {
		err := Check(c.p, c.r)
		if c.reason == "" {
			require.NoError(t, err, name)
		} else {
			require.ErrorIs(t, err, ErrRefused, name)
			require.ErrorContains(t, err, c.reason, name)
		}
	}
}

// TestBoth: a key's policy and a token's must both allow, and only a key's opens raw bytes.
func TestBoth(t *testing.T) {
	b, err := Open(filepath.Join(t.TempDir(), "p.json"))
	require.NoError(t, err)
	for name, types := range map[string][]walletapi.MsgType{
		"blocks": {walletapi.TypeBlock}, "messages": {walletapi.TypeMessage}, "raw": {walletapi.TypeUnknown, walletapi.TypeMessage},
	} {
		require.NoError(t, b.Set(walletapi.Policy{Name: name, Types: types}))
	}
	raw := Request{Signer: key(t, "a"), Token: "tok", Type: walletapi.TypeUnknown}
	judge := func(r Request) error { _, err := b.Judge(r, t0); return err }
	require.NoError(t, judge(send(t, "a", 1, 1)))
	require.ErrorIs(t, judge(raw), ErrRefused)
	require.NoError(t, b.BindToken("tok", "raw"))
	require.ErrorIs(t, judge(raw), ErrRefused, "a token's policy alone opens nothing")
	require.NoError(t, b.BindKey(key(t, "a"), "raw"))
	require.NoError(t, judge(raw))
	other := raw
	other.Signer = key(t, "b")
	require.ErrorIs(t, judge(other), ErrRefused, "another key stays closed")
	require.NoError(t, b.BindToken("tok", "blocks"))
	require.ErrorIs(t, judge(raw), ErrRefused, "a token's policy narrows")
	asked, err := b.Judge(send(t, "a", 1, 1), t0)
	require.ErrorIs(t, err, ErrRefused)
	require.Equal(t, []string{"raw", "blocks"}, asked)
	require.NoError(t, b.BindToken("tok", ""))
	require.NoError(t, judge(raw))
}

func TestBound(t *testing.T) {
	b, err := Open(filepath.Join(t.TempDir(), "p.json"))
	require.NoError(t, err)
	day := big.NewInt(100)
	require.NoError(t, b.Set(walletapi.Policy{Name: "p", PerDay: &day}))
	require.NoError(t, b.BindKey(key(t, "a"), "p"))
	judge := func(r Request, at time.Duration) error { _, err := b.Judge(r, t0.Add(at)); return err }
	require.NoError(t, judge(send(t, "a", 1, 60), 0))
	require.ErrorIs(t, judge(send(t, "a", 2, 41), time.Hour), ErrRefused)
	require.NoError(t, judge(send(t, "a", 2, 40), time.Hour), "what was refused was not counted")
	require.NoError(t, judge(send(t, "a", 1, 60), 2*time.Hour), "the same nonce again costs nothing more")
	require.ErrorIs(t, judge(send(t, "a", 1, 61), 2*time.Hour), ErrRefused, "but what it costs more counts")
	require.NoError(t, judge(send(t, "b", 9, 1000), 0), "another key has no bound")
	require.NoError(t, judge(Request{Signer: key(t, "a"), Type: walletapi.TypeBlock}, 0), "blocks cost nothing")
	require.ErrorIs(t, judge(send(t, "a", 3, 1), time.Hour+Day-1), ErrRefused)
	require.NoError(t, judge(send(t, "a", 3, 40), time.Hour+Day), "a day later")

	zero := big.Zero()
	require.NoError(t, b.Set(walletapi.Policy{Name: "p", PerDay: &zero}))
	require.ErrorIs(t, judge(send(t, "a", 8, 1), 9*Day), ErrRefused)
}

// TestBoundAgainstModel compares the window with a list of everything.
func TestBoundAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type event struct {
			slot string
			cost int64
			at   time.Time
		}
		w, all := window{}, []event{}
		now := t0
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 10).Draw(t, "hours")) * time.Hour)
			e := event{fmt.Sprint(rapid.IntRange(0, 5).Draw(t, "slot")), rapid.Int64Range(0, 50).Draw(t, "cost"), now}
			// In the model a slot's events hang together as long as less than a day lies between them.
			slots := map[string]int64{}
			last := map[string]time.Time{}
			for _, o := range append(all, e) {
				if at, ok := last[o.slot]; ok && o.at.Sub(at) >= Day {
					slots[o.slot] = 0
				}
				slots[o.slot], last[o.slot] = max(slots[o.slot], o.cost), o.at
			}
			total := int64(0)
			for s, c := range slots {
				if now.Sub(last[s]) < Day {
					total += c
				}
			}
			if got := w.with(e.slot, big.NewInt(e.cost), now); !got.Equals(big.NewInt(total)) {
				t.Fatalf("total %s, want %d", got, total)
			}
			w.add(e.slot, big.NewInt(e.cost), now)
			all = append(all, e)
		}
	})
}

func TestBookIsDurable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.json")
	b, err := Open(path)
	require.NoError(t, err)
	day := big.NewInt(7)
	full := walletapi.Policy{
		Name: "full", Types: []walletapi.MsgType{walletapi.TypeMessage}, Methods: []abi.MethodNum{0, 5}, Recipients: []address.Address{id(t, 1)},
		Signers: []address.Address{key(t, "a")}, PerDay: &day,
	}
	none := walletapi.Policy{Name: "none", Types: []walletapi.MsgType{}, Methods: []abi.MethodNum{}, Recipients: []address.Address{}, Signers: []address.Address{}}
	require.NoError(t, b.Set(full))
	require.NoError(t, b.Set(none))
	require.ErrorIs(t, b.BindKey(key(t, "a"), "nope"), ErrUnknown)
	require.NoError(t, b.BindKey(key(t, "a"), "full"))
	require.NoError(t, b.BindToken("t", "none"))
	require.ErrorIs(t, b.Remove("full"), ErrBound)
	require.ErrorIs(t, b.Remove("nope"), ErrUnknown)
	want, err := b.List()
	require.NoError(t, err)
	require.Equal(t, []walletapi.Policy{full, none}, want.Policies)

	disarm := fault.Arm("wallet/policyWrite", func() error { return errors.New("disk full") })
	require.Error(t, b.BindToken("t", ""))
	require.Error(t, b.Set(walletapi.Policy{Name: "x"}))
	disarm()
	got, err := b.List()
	require.NoError(t, err)
	require.Equal(t, want, got, "what could not be made durable did not happen")
	b, err = Open(path)
	require.NoError(t, err)
	got, err = b.List()
	require.NoError(t, err)
	require.Equal(t, want, got)
	st, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())

	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	for cut := range len(raw) {
		require.NoError(t, os.WriteFile(path, raw[:cut], 0o600))
		_, err := Open(path)
		require.Error(t, err, "a part of the file is not taken for no policies: cut at %d", cut)
	}
}

func TestValidate(t *testing.T) {
	less := big.NewInt(-1)
	for name, p := range map[string]walletapi.Policy{
		"no name": {}, "line end": {Name: "a\nb"}, "long": {Name: string(make([]byte, 65))}, "type": {Name: "n", Types: []walletapi.MsgType{"nope"}},
		"amount": {Name: "n", PerDay: &less}, "empty address": {Name: "n", Recipients: []address.Address{address.Undef}},
	} {
		require.Error(t, Validate(p), name)
	}
	for text, want := range map[string]abi.MethodNum{"0": 0, "Send": 0, "77": 77, "miner.SubmitWindowedPoSt": 5, "MINER.precommitsector": 6, "multisig.Propose": 2} {
		got, err := ParseMethod(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, bad := range []string{"", "-1", "SubmitWindowedPoSt", "miner.nope"} {
		_, err := ParseMethod(bad)
		require.Error(t, err, bad)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"version":1,"policies":[{"name":"a","perDay":"1"}],"keys":{},"tokens":{"t":"a"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		path := filepath.Join(t.TempDir(), "p.json")
		if os.WriteFile(path, raw, 0o600) != nil {
			return
		}
		if b, err := Open(path); err == nil {
			for _, p := range b.policies {
				if Validate(p) != nil {
					t.Fatal("an invalid policy was taken")
				}
			}
		}
	})
}
