package wallet

import (
	"context"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"

	"github.com/filecoin-venus/venus/api"
)

// Policy says what may be signed by the keys and for the tokens that are bound to it. A list that is absent bounds
// nothing, an empty one allows nothing.
type Policy struct {
	Name string
	// Types are the kinds of things, absent = every kind but raw bytes (TypeUnknown), which must be named.
	Types []MsgType `json:",omitzero"`
	// Methods are the method numbers of messages; Send is 0.
	Methods []abi.MethodNum `json:",omitzero"`
	// Recipients are where messages and vouchers may go, in the form in which they are addressed: a wallet follows no
	// chain and does not know that two addresses are one actor's.
	Recipients []address.Address `json:",omitzero"`
	// Signers are the keys that may be used.
	Signers []address.Address `json:",omitzero"`
	// PerDay bounds, for each key, what its messages and vouchers of 24 hours may cost together, in attoFIL: value and
	// the most that gas may take. Messages of one nonce count once, with the dearest. Absent = no bound.
	PerDay *big.Int `json:",omitempty"`
}

// Policies is all that a wallet goes by: policies by name, and the names that keys and tokens are bound to.
type Policies struct {
	Policies []Policy
	// Keys binds addresses, as text.
	Keys map[string]string
	// Tokens binds names of tokens; "local token" are those made without a name.
	Tokens map[string]string
}

// SignQuery selects records of the signature log, newest first. Empty fields select all; Limit 0 means 100, the most is
// 1000.
type SignQuery struct {
	Signer   address.Address
	Type     MsgType
	Decision string
	Token    string
	Since    time.Time
	Until    time.Time
	Skip     int
	Limit    int
}

// SignRecord is one decision of the wallet, as the signature log keeps it. Addresses are bytes in hex.
type SignRecord struct {
	Seq      uint64
	Time     time.Time
	Decision string
	Signer   string
	Type     string
	Token    string            `json:",omitempty"`
	Policies []string          `json:",omitempty"`
	Digest   string            `json:",omitempty"`
	Facts    map[string]string `json:",omitempty"`
	Reason   string            `json:",omitempty"`
}

// Rules manages what the wallet signs for whom.
type Rules interface {
	// PolicySet adds a policy or replaces the one of its name.
	//perm:admin
	PolicySet(ctx context.Context, p Policy) error
	// PolicyRemove removes a policy that nothing is bound to.
	//perm:admin
	PolicyRemove(ctx context.Context, name string) error
	// PolicyBindKey binds a key to a policy; an empty name frees it.
	//perm:admin
	PolicyBindKey(ctx context.Context, addr address.Address, policy string) error
	// PolicyBindToken binds the tokens of a name to a policy; an empty policy frees them.
	//perm:admin
	PolicyBindToken(ctx context.Context, token, policy string) error
	// PolicyList returns all policies and bindings.
	//perm:admin
	PolicyList(ctx context.Context) (Policies, error)
	// AuthNewNamed makes a token like AuthNew, with a name that policies and the signature log know it by.
	//perm:admin
	AuthNewNamed(ctx context.Context, name string, perms []api.Permission) ([]byte, error)
	// SignRecords returns a page of the signature log, newest first.
	//perm:admin
	SignRecords(ctx context.Context, q SignQuery) ([]SignRecord, error)
}
