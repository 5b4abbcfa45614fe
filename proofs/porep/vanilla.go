// Package porep is the proof of replication before any circuit: replica id, challenges, the openings that a prover puts
// into the circuit, their check, and the circuit's public inputs.
//
// Start at Vanilla (what Commit1 hands to Commit2), then Statement (what both sides know) and Prove.
// Invariants: challenges depend on replica id and seed only; every opening in a Vanilla that Check accepted belongs to
// CommD and CommR of its statement.
package porep

import (
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/merkle"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// ColumnProof opens the labels of one node in all layers.
type ColumnProof struct {
	// Labels of the node, layer 1 first; shape.Sector.Layers of them.
	Labels []fr32.Node `json:"labels"`
	// Path opens the column's hash (its Leaf) in tree C.
	Path merkle.Proof `json:"path"`
}

// Challenge holds all openings for one challenged node. The labelling and encoding checks need no data of their own:
// label(c, 1) hashes Base[*].Labels[0]; label(c, l>1) hashes Base[*].Labels[l-1] and Exp[*].Labels[l-2]; and the replica
// leaf is the data leaf plus the last label.
type Challenge struct {
	// Node is the challenged node, 1..N-1.
	Node uint64 `json:"node"`
	// Data opens tree D (binary SHA-256) and Replica tree R-last at Node.
	Data    merkle.Proof `json:"data"`
	Replica merkle.Proof `json:"replica"`
	// Column opens Node's own column, Base and Exp those of its parents in graph order.
	Column ColumnProof                       `json:"column"`
	Base   [shape.BaseDegree]ColumnProof     `json:"base"`
	Exp    [shape.ExpanderDegree]ColumnProof `json:"exp"`
}

// Vanilla is a whole proof of replication before compression by a circuit.
type Vanilla struct {
	Statement
	// CommC and CommRLast are the private halves of CommR.
	CommC     fr32.Node `json:"commC"`
	CommRLast fr32.Node `json:"commRLast"`
	// Partitions, each with the challenges of one circuit instance.
	Partitions [][]Challenge `json:"partitions"`
}
