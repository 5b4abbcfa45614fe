// Command types writes types/cbor_gen.go, the CBOR tuples of the chain's nouns.
// Run it from the repository's root: go run ./internal/gen/types
package main

import (
	"log"

	cbg "github.com/whyrusleeping/cbor-gen"

	"github.com/filecoin-venus/venus/types"
)

func main() {
	err := cbg.WriteTupleEncodersToFile("types/cbor_gen.go", "types",
		types.Message{}, types.SignedMessage{}, types.MessageReceipt{},
		types.Ticket{}, types.ElectionProof{}, types.BeaconEntry{}, types.BlockHeader{},
		types.TxMeta{}, types.BlockMsg{}, types.Actor{}, types.StateRoot{},
		types.DrawRandomParams{},
	)
	if err != nil {
		log.Fatal(err)
	}
}
