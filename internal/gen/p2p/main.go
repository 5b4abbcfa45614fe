// Command p2p writes the CBOR tuples of the peer protocols. Run it from the
// repository's root: go run ./internal/gen/p2p
package main

import (
	"log"

	cbg "github.com/whyrusleeping/cbor-gen"

	"github.com/filecoin-venus/venus/p2p/exchange"
	"github.com/filecoin-venus/venus/p2p/hello"
)

func main() {
	if err := cbg.WriteTupleEncodersToFile("p2p/hello/cbor_gen.go", "hello", hello.Hello{}, hello.Latency{}); err != nil {
		log.Fatal(err)
	}
	err := cbg.WriteTupleEncodersToFile("p2p/exchange/cbor_gen.go", "exchange",
		exchange.Request{}, exchange.Response{}, exchange.Compacted{}, exchange.TipSet{})
	if err != nil {
		log.Fatal(err)
	}
}
