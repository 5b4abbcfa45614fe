package messager

import (
	"strings"

	"github.com/filecoin-venus/venus/api"
)

// Excluded lists the methods of the original messager that this one leaves out, in no order.
func Excluded() []api.Exclusion {
	var out []api.Exclusion
	for _, g := range excluded {
		for _, m := range strings.Fields(g.methods) {
			out = append(out, api.Exclusion{Method: m, Reason: g.reason, Hint: g.hint})
		}
	}
	return out
}

// excluded are methods by what they have in common.
var excluded = [...]struct{ methods, reason, hint string }{
	{
		"UpdateMessageStateByCid UpdateMessageStateByID",
		"a message is in the state that the chain and its history say, not in one that a caller claims",
		"UpdateFilledMessageByID compares it with the chain, MarkBadMessage gives a queued one up, ReplaceMessage prices it again",
	},
	{
		"ResetAddress",
		"it forgets signed messages, which may land all the same and take the nonces that are given out again",
		"UpdateNonce skips nonces; ReplaceMessage and the filling of gaps free a line of nonces that is stuck",
	},
	{"Send", "its parameters are those of PushMessage", "use PushMessage, or `venus-messager send`"},
	{"SetLogLevel", "log levels are set by system", "use LogSetLevel with the system *"},
	{
		"GetWalletByID", "wallets are known by their names",
		"use GetWalletByName",
	},
	{"SaveAddress", "senders are found in the wallets, as long as these hold their keys", "add the wallet with SaveWallet"},
	{
		"ListenWalletEvent ResponseEvent SupportNewAccount",
		"they belong to a gateway that wallets connect to; this messager connects to the wallets",
		"add the wallet with SaveWallet",
	},
}
