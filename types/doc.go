// Package types holds the nouns of a Filecoin chain: messages, block headers,
// tipsets, receipts and the few records around them. Everything else in the
// repository speaks in these values.
//
// Start reading at [Message] and [BlockHeader]; a [TipSet] is what consensus
// works on. Encodings live here and nowhere else: CBOR (dag-cbor tuples,
// generated into cbor_gen.go by internal/gen/types) gives the identity of a thing,
// JSON is the shape the field's clients know from Lotus.
//
// Invariants: values are immutable once built by a constructor; the CID of a
// value is always computed from its own canonical encoding, never taken from
// the wire.
package types
