package seal

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/filecoin-venus/venus/proofs/merkle"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// tAux describes the cache's files in the form that the field's older sealing programs expect beside p_aux: a counted list
// of layer entries, then tree-d, tree-r-last and tree-c. An entry is folder, name, number of nodes and rows to discard.
func tAux(sh shape.Seal, dir string) []byte {
	const maxBinaryDiscard = 7
	var b []byte
	str := func(s string) {
		b = binary.LittleEndian.AppendUint64(b, uint64(len(s)))
		b = append(b, s...)
	}
	entry := func(id string, nodes uint64, discard int) {
		str(dir)
		str(id)
		b = append(b, 1) // the size is given
		b = binary.LittleEndian.AppendUint64(b, nodes)
		b = binary.LittleEndian.AppendUint64(b, uint64(discard))
	}
	binaryDiscard := min(bits.Len64(sh.Nodes())-2, maxBinaryDiscard)
	b = binary.LittleEndian.AppendUint64(b, uint64(sh.Layers))
	for l := range sh.Layers {
		entry(fmt.Sprintf("layer-%d", l+1), sh.Nodes(), binaryDiscard)
	}
	entry("tree-d", 2*sh.Nodes()-1, binaryDiscard)
	full := uint64(merkle.OctreeSize(sh.Tree, 0)) / 32
	entry("tree-r-last", full, sh.Tree.DiscardedRows())
	entry("tree-c", full, sh.Tree.DiscardedRows())
	return b
}
