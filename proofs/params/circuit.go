package params

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/filecoin-venus/venus/proofs/circuit"
	"github.com/filecoin-venus/venus/proofs/groth16"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// Circuit names one parameter set: a circuit of one size.
type Circuit struct {
	// Title is for people, such as "winning PoSt 2KiB".
	Title string
	// Prefix and Identifier make the file name.
	Prefix, Identifier string
	blank              func() groth16.Circuit
}

// PoRep is the parameter set of a seal proof type; all versions of a size share it.
func PoRep(s shape.Seal) Circuit {
	return Circuit{
		Title:  "proof of replication " + s.Size.ShortString(),
		Prefix: fmt.Sprintf("stacked-proof-of-replication-merkletree-poseidon_hasher-%s-sha256_hasher", s.Tree),
		Identifier: fmt.Sprintf("layered_drgporep::PublicParams{ graph: stacked_graph::StackedGraph{expansion_degree: %d "+
			"base_graph: drgraph::BucketGraph{size: %d; degree: %d; hasher: poseidon_hasher} }, "+
			"challenges: LayerChallenges { layers: %d, max_count: %d }, tree: merkletree-poseidon_hasher-%s }",
			shape.ExpanderDegree, s.Nodes(), shape.BaseDegree, s.Layers, s.ChallengesPerPartition, s.Tree),
		blank: func() groth16.Circuit { return circuit.BlankPoRep(s) },
	}
}

// PoSt is the parameter set of a winning or window PoSt type; both window versions of a size share it.
func PoSt(p shape.PoSt) Circuit {
	kind, challenges, sectors := "window", p.Challenges, p.Sectors
	if p.Winning { // every challenge counts as a sector
		kind, challenges, sectors = "winning", 1, p.Challenges
	}
	return Circuit{
		Title:  kind + " PoSt " + p.Size.ShortString(),
		Prefix: fmt.Sprintf("proof-of-spacetime-fallback-merkletree-poseidon_hasher-%s", p.Tree),
		Identifier: fmt.Sprintf("FallbackPoSt::PublicParams{sector_size: %d, challenge_count: %d, sector_count: %d}",
			p.Size, challenges, sectors),
		blank: func() groth16.Circuit { return circuit.BlankPoSt(p) },
	}
}

// Update is the parameter set of a replica update type.
func Update(u shape.Update) Circuit {
	return Circuit{
		Title:      "replica update " + u.Size.ShortString(),
		Prefix:     fmt.Sprintf("empty-sector-update-merkletree-poseidon_hasher-%s", u.Tree),
		Identifier: fmt.Sprintf("empty_sector_update::PublicParams{ sector_nodes: %d }", u.Nodes()),
		blank:      func() groth16.Circuit { return circuit.BlankUpdate(u) },
	}
}

// Name is the file name without extension.
func (c Circuit) Name() string {
	sum := sha256.Sum256([]byte(c.Identifier))
	return "v28-" + c.Prefix + "-" + hex.EncodeToString(sum[:])
}

// Digest is the published digest of one of the set's files (extension "vk" or "params"); false for sets that Filecoin
// never published.
func (c Circuit) Digest(extension string) (string, bool) {
	d, ok := officialDigests[c.Name()+"."+extension]
	return d, ok
}

// Blank is the circuit without a witness, from which keys are made.
func (c Circuit) Blank() groth16.Circuit { return c.blank() }
