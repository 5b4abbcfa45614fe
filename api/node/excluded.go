package node

import (
	"strings"

	"github.com/filecoin-venus/venus/api"
)

// Excluded lists the methods of the field's node that this one leaves out, in no
// order. A method is either here or in a contract, never in both.
func Excluded() []api.Exclusion {
	var out []api.Exclusion
	for _, g := range excluded {
		for _, m := range strings.Fields(g.methods) {
			out = append(out, api.Exclusion{Method: g.prefix + m, Reason: g.reason, Hint: g.hint})
		}
	}
	return out
}

// excluded are methods by what they have in common.
var excluded = [...]struct{ prefix, methods, reason, hint string }{
	{
		"Client",
		"CalcCommP CancelDataTransfer CancelRetrievalDeal DataTransferUpdates DealPieceCID DealSize Export FindData GenCar GetDealInfo " +
			"GetDealStatus GetDealUpdates GetRetrievalUpdates HasLocal Import ListDataTransfers ListDeals ListImports ListRetrievals " +
			"MinerQueryOffer QueryAsk RemoveImport RestartDataTransfer Retrieve RetrieveTryRestartInsufficientFunds RetrieveWait " +
			"RetrieveWithEvents StartDeal StatelessDeal",
		"deals, retrievals and data transfers belong to a market client, which this cluster does not have",
		"use a market client of your choice: it needs a node for the chain and brings this part itself",
	},
	{
		"Market", "GetReserved ReleaseFunds ReserveFunds",
		"reservations of escrow are the bookkeeping of a market client, which this cluster does not have",
		"StateMarketBalance tells escrow and lock, MarketAddBalance and MarketWithdraw change them",
	},
	{
		"Paych",
		"AllocateLane AvailableFunds AvailableFundsByFromTo Fund Get GetWaitReady List NewPayment Status VoucherAdd " +
			"VoucherCheckSpendable VoucherCheckValid VoucherCreate VoucherList VoucherSubmit",
		"vouchers and lanes live in the store of a payment channel manager, which this cluster does not have",
		"the channel itself can be read with StateReadState and ended with PaychSettle and PaychCollect",
	},
	{
		"Net", "Limit SetLimit Stat",
		"connections are bounded by fixed numbers, there are no scopes of resources to read or set",
		"NetPeers counts the connections; the limits are in the docs",
	},
	{
		"", "WalletSign",
		"it signs bytes that a caller composed, which could be a message that spends, and venus-wallet signs only what it can read",
		"use WalletSignMessage for a message, or venus-wallet's own WalletSign, which is told what it signs",
	},
	{
		"", "CreateBackup",
		"the node holds nothing that the network does not: no keys, no sectors",
		"keep venus-wallet's directory; export the chain with ChainExport, or let a new node fetch it from its peers",
	},
	{
		"", "ChainDeleteObj",
		"a store that lacks an object which a state needs cannot be trusted any more",
		"to free space stop the node, and start it anew from a snapshot",
	},
	{
		"", "StateAllMinerFaults",
		"the chain keeps no history of faults, and other nodes do not answer it either",
		"ask StateMinerFaults for the faults of each miner now, or at any tipset",
	},
}
