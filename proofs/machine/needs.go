package machine

import (
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/crypto/wide"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/merkle"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// Need is what sectors of one size take, in bytes.
type Need struct {
	Size     abi.SectorSize `json:"size"`
	Circuits Circuits       `json:"circuits"`
	Disk     Disk           `json:"disk"`
	Memory   Memory         `json:"memory"`
}

// Disk is what the files of one sector take, and what a machine keeps once for all of them.
type Disk struct {
	Unsealed  uint64 `json:"unsealed"`
	TreeD     uint64 `json:"treeD"`
	Layers    uint64 `json:"layers"`
	TreeC     uint64 `json:"treeC"`
	TreeRLast uint64 `json:"treeRLast"`
	Sealed    uint64 `json:"sealed"`
	// Sealing is the most that one sector takes at once, at the end of PreCommit2 and until Finalize.
	Sealing uint64 `json:"sealing"`
	// Rest is what stays for the sector's life; the unsealed file, which Unseal can make again, is not counted.
	Rest uint64 `json:"rest"`
	// ParentCache is one file for all sectors of a proof type; 0 where parents may stay in memory.
	ParentCache uint64 `json:"parentCache"`
	// Params are the three parameter files that the crs backend reads.
	Params uint64 `json:"params"`
}

// Memory is what the program needs for one phase of one sector. Phases that run at the same time add up, but for Base,
// which is in each number once.
type Memory struct {
	PreCommit1 uint64 `json:"preCommit1"`
	PreCommit2 uint64 `json:"preCommit2"`
	Commit1    uint64 `json:"commit1"`
	// The proofs, by backend. Provers of several partitions work on one after the other.
	Commit2Trapdoor uint64 `json:"commit2Trapdoor"`
	Commit2CRS      uint64 `json:"commit2CRS"`
	WindowTrapdoor  uint64 `json:"windowTrapdoor"`
	WindowCRS       uint64 `json:"windowCRS"`
	WinningTrapdoor uint64 `json:"winningTrapdoor"`
	WinningCRS      uint64 `json:"winningCRS"`
	UpdateTrapdoor  uint64 `json:"updateTrapdoor"`
	UpdateCRS       uint64 `json:"updateCRS"`
}

// Most is the largest need among the phases of sealing with a backend: crs or trapdoor.
func (m Memory) Most(crs bool) uint64 {
	c2 := m.Commit2Trapdoor
	if crs {
		c2 = m.Commit2CRS
	}
	return max(m.PreCommit1, m.PreCommit2, m.Commit1, c2)
}

const (
	node   = fr32.NodeSize
	scalar = 32
	kib    = 1 << 10
	mib    = 1 << 20
	gib    = 1 << 30
)

// Base is what the program takes by itself: its code, constants, keys and the collector's room.
const Base = 64 * mib

// memoryGraph is the largest sector whose parents may stay in memory, and parentBytes what a node's parents take.
const (
	memoryGraph = 8 * mib
	parentBytes = 4 * shape.Degree
)

// chunk is how much of each file a goroutine of PreCommit2 has in memory: 2^12 nodes.
const chunk = 1 << 12 * node

// parentChunks is how many chunks of parents are in memory during PreCommit1: three in turn, and one as it is read.
const parentChunks = 4

// NeedOf computes what sectors of a size need on a machine that uses the given number of cores.
func NeedOf(size abi.SectorSize, cores int) (Need, error) {
	sh, err := shape.OfSize(size)
	if err != nil {
		return Need{}, err
	}
	circuits, ok := circuitsOf[size]
	if !ok {
		return Need{}, fmt.Errorf("no network has sectors of %s: %w", size.ShortString(), shape.ErrUnsupported)
	}
	return Need{Size: size, Circuits: circuits, Disk: diskOf(sh, circuits), Memory: memoryOf(sh, circuits, uint64(max(cores, 1)))}, nil
}

func diskOf(sh shape.Sector, c Circuits) Disk {
	size, trees := uint64(sh.Size), uint64(sh.Tree.BaseTrees())
	d := Disk{
		Unsealed: size, Sealed: size, Layers: size * uint64(sh.Layers),
		TreeD:     uint64(merkle.BinarySize(sh.Nodes())),
		TreeC:     trees * uint64(merkle.OctreeSize(sh.Tree, 0)),
		TreeRLast: trees * uint64(merkle.OctreeSize(sh.Tree, sh.Tree.DiscardedRows()+1)),
		Params:    c.PoRep.FileBytes() + c.Winning.FileBytes() + c.Window.FileBytes(),
	}
	const aux = 2*node + kib // p_aux and t_aux
	d.Sealing = d.Unsealed + d.TreeD + d.Layers + d.TreeC + d.TreeRLast + d.Sealed + aux
	d.Rest = d.Sealed + d.TreeRLast + aux
	if size > memoryGraph {
		d.ParentCache = sh.Nodes() * parentBytes
	}
	return d
}

func memoryOf(sh shape.Sector, c Circuits, cores uint64) Memory {
	size := uint64(sh.Size)
	parents := uint64(parentChunks * (chunk / node) * parentBytes)
	if size <= memoryGraph {
		parents += sh.Nodes() * parentBytes
	}
	window := uint64(sh.WindowSectors*shape.WindowChallenges) * pathBytes(sh)
	winning := shape.WinningChallenges * pathBytes(sh)
	return Memory{
		// The layer before and the one that is being labelled.
		PreCommit1: Base + 2*size + parents,
		// A chunk of every layer, of their columns, of the rows above and of the data.
		PreCommit2:      Base + cores*uint64(sh.Layers+3)*min(chunk, size),
		Commit1:         Base + openings(sh)*copies,
		Commit2Trapdoor: Base + openings(sh)*copies + trapdoorBytes,
		Commit2CRS:      Base + openings(sh)*copies + c.PoRep.crsBytes(),
		WindowTrapdoor:  Base + window + trapdoorBytes,
		WindowCRS:       Base + window + c.Window.crsBytes(),
		WinningTrapdoor: Base + winning + trapdoorBytes,
		WinningCRS:      Base + winning + c.Winning.crsBytes(),
		UpdateTrapdoor:  Base + updateOpenings(sh)*copies + trapdoorBytes,
		UpdateCRS:       Base + updateOpenings(sh)*copies + c.Update.crsBytes(),
	}
}

// copies is how many times the openings of a sector are in memory at most: as values, and as text that wraps text.
const copies = 8

// pathBytes is an opening of an octree.
func pathBytes(sh shape.Sector) (n uint64) {
	for _, arity := range sh.Tree.PathArities() {
		n += uint64(arity-1) * node
	}
	return n + node
}

// openings are those of a proof of replication: for each challenge the node, its parents and all their columns.
func openings(sh shape.Sector) uint64 {
	column := uint64(sh.Layers)*node + pathBytes(sh)
	data := uint64(64) * node // a path of the binary tree has fewer rows
	return uint64(sh.Partitions*sh.ChallengesPerPartition) * ((1+shape.Degree)*column + pathBytes(sh) + data)
}

// updateOpenings are those of a replica update: for each challenge a node of both replicas and of the data, and the apex
// of each partition's share.
func updateOpenings(sh shape.Sector) uint64 {
	u := shape.UpdateOf(sh)
	data := uint64(64) * node
	return uint64(u.UpdatePartitions) * (uint64(u.UpdateChallenges)*(2*pathBytes(sh)+data) + uint64(u.ApexLeaves)*node)
}

// trapdoorBytes is what the trapdoor prover takes for a circuit of any size: blocks of rows, the Lagrange values of a
// circuit small enough to keep them, and the constants of the gadgets.
const trapdoorBytes = 64 * mib

// crsVectors are the values of A, B and C over the domain; crsTables is the table of roots of unity that the transforms use,
// about as long as the domain.
const (
	crsVectors = 3
	crsTables  = 1
)

// crsBytes is what the crs prover holds for one proof, the larger of its two halves: the transforms, which need the vectors
// over the domain, the table and the witness; and the sums, which need the quotient, the witness, the scalars of one list,
// all points of the list in G2, and a chunk of those of a list in G1 with its digits. Memory that is free but not yet
// collected comes on top, see GOMEMLIMIT.
func (c Circuit) crsBytes() uint64 {
	witness := c.Aux*scalar + 2*(c.Aux+c.Inputs) // and in which lists a variable is
	transforms := (crsVectors+crsTables)*c.Domain()*scalar + witness
	quotient := c.Domain() * scalar
	chunk := min(c.Domain(), wide.Chunk) * (pointG1 + 2*64 + 4*32) // as read, decoded, and the digits of a scalar
	listA := c.A*scalar + chunk
	listB := c.B*(scalar+pointG2+scalar) + chunk
	return max(transforms, quotient+witness+max(listA, listB))
}
