package genesis

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/network"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/market"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/crypto/blake2b"
)

// Kinds of initial actors.
const (
	KindAccount  = "account"
	KindMultisig = "multisig"
)

// Where initial actors live (node-nv15.md 4.2).
const (
	firstAccountID  = 100
	firstMinerID    = 1000
	rootVerifierID  = 80
	firstVerifierID = 81
	reserveID       = 90
)

// maxAccounts keeps account IDs below those of miners.
const maxAccounts = firstMinerID - firstAccountID

// minerAccountFIL is what [Template.AddMiner] gives the owner, in whole FIL.
const minerAccountFIL = 50_000_000

// Template is what a genesis is built from (node-nv15.md 4.1). Balances are in
// attoFIL; Timestamp is in Unix seconds.
type Template struct {
	NetworkVersion   int
	Accounts         []Actor
	Miners           []Miner
	NetworkName      string
	Timestamp        uint64 `json:",omitempty"`
	VerifregRootKey  Actor
	RemainderAccount Actor
}

// Actor is an initial account or multisig.
type Actor struct {
	Type    string
	Balance abi.TokenAmount
	Meta    json.RawMessage
}

// AccountMeta is the Meta of an account: its key address.
type AccountMeta struct {
	Owner address.Address
}

// MultisigMeta is the Meta of a multisig. The balance vests over
// VestingDuration epochs from VestingStart.
type MultisigMeta struct {
	Signers         []address.Address
	Threshold       int
	VestingDuration int
	VestingStart    int
}

// Miner is a miner that exists from the start. Owner and Worker are accounts of
// the template; ID must be f01000, f01001, ... in order.
type Miner struct {
	ID     address.Address
	Owner  address.Address
	Worker address.Address
	PeerId peer.ID `json:",omitempty"`
	// MarketBalance is put in escrow at the market, PowerBalance is sent along
	// with the miner's creation; in attoFIL.
	MarketBalance abi.TokenAmount
	PowerBalance  abi.TokenAmount
	SectorSize    abi.SectorSize
	Sectors       []*PreSeal
}

// PreSeal is a sector sealed before the chain exists. Without a Deal it is
// committed capacity; with one the deal is published as verified, from epoch 0
// to the sector's expiration.
type PreSeal struct {
	CommR     cid.Cid
	CommD     cid.Cid
	SectorID  abi.SectorNumber
	Deal      *market.DealProposal `json:",omitempty"`
	ProofType abi.RegisteredSealProof
}

// NewAccount describes an account with a key address.
func NewAccount(owner address.Address, balance abi.TokenAmount) (Actor, error) {
	meta, err := json.Marshal(AccountMeta{Owner: owner})
	return Actor{Type: KindAccount, Balance: balance, Meta: meta}, err
}

// NewMultisig describes a multisig.
func NewMultisig(m MultisigMeta, balance abi.TokenAmount) (Actor, error) {
	meta, err := json.Marshal(m)
	return Actor{Type: KindMultisig, Balance: balance, Meta: meta}, err
}

// defaultSigner is the key that templates name by default for the root key and
// the remainder; on a network of one's own nobody needs to hold it.
const defaultSigner = "t1ceb34gnsc6qk5dt6n7xg6ycwzasjhbxm3iylkiy"

// NewTemplate returns a template without accounts and miners, at network
// version 15, with the usual root key and remainder.
func NewTemplate(name string, timestamp uint64) (*Template, error) {
	signer, err := address.NewFromString(defaultSigner)
	if err != nil {
		return nil, fmt.Errorf("default signer: %w", err)
	}
	msig, err := NewMultisig(MultisigMeta{Signers: []address.Address{signer}, Threshold: 1}, big.Zero())
	if err != nil {
		return nil, err
	}
	return &Template{
		NetworkVersion: int(network.Version15), NetworkName: name, Timestamp: timestamp,
		VerifregRootKey: msig, RemainderAccount: msig,
	}, nil
}

// AddMiner appends a miner and the account of its owner with 50 million FIL.
func (t *Template) AddMiner(m Miner) error {
	want, err := address.NewIDAddress(uint64(firstMinerID + len(t.Miners)))
	if err != nil {
		return err
	}
	if m.ID != want {
		return fmt.Errorf("add miner %s: the next miner of this template is %s", m.ID, want)
	}
	owner, err := NewAccount(m.Owner, big.Mul(big.NewInt(minerAccountFIL), builtin.TokenPrecision))
	if err != nil {
		return fmt.Errorf("add miner %s: %w", m.ID, err)
	}
	t.Miners = append(t.Miners, m)
	t.Accounts = append(t.Accounts, owner)
	return nil
}

// LoadTemplate reads a template file.
func LoadTemplate(path string) (*Template, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read genesis template: %w", err)
	}
	t := new(Template)
	if err := json.Unmarshal(b, t); err != nil {
		return nil, fmt.Errorf("read genesis template %s: %w", path, err)
	}
	return t, nil
}

// Validate checks what can be told without building.
func (t *Template) Validate() error {
	switch {
	case t.NetworkVersion != int(network.Version15):
		return fmt.Errorf("genesis template: network version %d, this program builds version %d only", t.NetworkVersion, network.Version15)
	case t.NetworkName == "":
		return errors.New("genesis template: no network name")
	case t.Timestamp == 0:
		return errors.New("genesis template: no timestamp; set Timestamp to the Unix time of epoch 0, so that every node builds the same genesis")
	case len(t.Accounts) > maxAccounts:
		return fmt.Errorf("genesis template: %d accounts, at most %d fit below the miners' IDs", len(t.Accounts), maxAccounts)
	}
	for i, m := range t.Miners {
		want, err := address.NewIDAddress(uint64(firstMinerID + i))
		if err != nil {
			return err
		}
		if m.ID != want {
			return fmt.Errorf("genesis template: miner %d is %s, want %s", i, m.ID, want)
		}
		if m.MarketBalance.Int == nil || m.PowerBalance.Int == nil {
			return fmt.Errorf("genesis template: miner %s has no market or power balance", m.ID)
		}
		for _, s := range m.Sectors {
			if s == nil || !s.CommR.Defined() {
				return fmt.Errorf("genesis template: miner %s has a sector without CommR", m.ID)
			}
		}
	}
	return nil
}

// derive returns 32 bytes that depend on the template and a label: the source
// of what a genesis would otherwise draw at random. How addresses are printed
// and how the JSON is laid out make no difference.
func (t *Template) derive(label string) ([]byte, error) {
	b, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("encode genesis template: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var plain any
	if err := dec.Decode(&plain); err != nil {
		return nil, fmt.Errorf("encode genesis template: %w", err)
	}
	if b, err = json.Marshal(unprinted(plain)); err != nil {
		return nil, fmt.Errorf("encode genesis template: %w", err)
	}
	sum := blake2b.Sum256(append([]byte(label+"\x00"), b...))
	return sum[:], nil
}

// unprinted replaces the addresses in decoded JSON, which print with the
// network's prefix, by their bytes.
func unprinted(v any) any {
	switch v := v.(type) {
	case string:
		if a, err := address.NewFromString(v); err == nil {
			return "address " + hex.EncodeToString(a.Bytes())
		}
	case []any:
		for i := range v {
			v[i] = unprinted(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = unprinted(v[k])
		}
	}
	return v
}

func (a *Actor) account() (AccountMeta, error) {
	var m AccountMeta
	if err := json.Unmarshal(a.Meta, &m); err != nil {
		return m, fmt.Errorf("meta of a genesis account: %w", err)
	}
	if p := m.Owner.Protocol(); p != address.SECP256K1 && p != address.BLS {
		return m, fmt.Errorf("genesis account %s: want a key address (f1 or f3)", m.Owner)
	}
	return m, nil
}

func (a *Actor) multisig() (MultisigMeta, error) {
	var m MultisigMeta
	if err := json.Unmarshal(a.Meta, &m); err != nil {
		return m, fmt.Errorf("meta of a genesis multisig: %w", err)
	}
	if m.Threshold < 1 || m.Threshold > len(m.Signers) {
		return m, fmt.Errorf("genesis multisig: threshold %d with %d signers", m.Threshold, len(m.Signers))
	}
	for _, s := range m.Signers {
		if p := s.Protocol(); p != address.SECP256K1 && p != address.BLS {
			return m, fmt.Errorf("genesis multisig signer %s: want a key address (f1 or f3)", s)
		}
	}
	return m, nil
}
