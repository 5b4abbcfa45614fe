package machine

import (
	"math"
	"time"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/proofs/shape"
)

// Rate is how much is done per second on one core and on all.
type Rate struct {
	Core float64 `json:"core"`
	All  float64 `json:"all"`
}

// Rates are a machine's speeds, as [Measure] finds them. All are per second; sizes are bytes.
type Rates struct {
	Cores int `json:"cores"`
	// Labels are computed on one core for a sector; All is for as many sectors as there are cores.
	Labels  Rate `json:"labels"`
	Parents Rate `json:"parents"`
	// Poseidon hashes by arity, and joins of the data tree.
	Poseidon2  Rate `json:"poseidon2"`
	Poseidon8  Rate `json:"poseidon8"`
	Poseidon11 Rate `json:"poseidon11"`
	SHA256     Rate `json:"sha256"`
	// PieceBytes are padded, hashed and committed to on one core; DigestBytes are hashed in one stream.
	PieceBytes  float64 `json:"pieceBytes"`
	DigestBytes float64 `json:"digestBytes"`
	// The disk of the folder: streams, and single nodes out of a large file.
	DiskWrite float64 `json:"diskWrite"`
	DiskRead  float64 `json:"diskRead"`
	DiskSeeks float64 `json:"diskSeeks"`
	// Butterflies of a transform; points of a sum times random scalars, and times bits.
	Butterflies float64 `json:"butterflies"`
	PointsG1    float64 `json:"pointsG1"`
	PointsG2    float64 `json:"pointsG2"`
	BitsG1      float64 `json:"bitsG1"`
	// Rows of circuits that are synthesised: of SHA-256 (proof of replication) and of Poseidon (proofs of spacetime); and
	// Lagrange values, one a row, that the trapdoor takes.
	RowsSHA      float64 `json:"rowsSHA"`
	RowsPoseidon float64 `json:"rowsPoseidon"`
	Lagrange     float64 `json:"lagrange"`
	// Verifications of single proofs with few inputs.
	Verifications float64 `json:"verifications"`
}

// Estimate is how long the phases of one sector would take on a machine that does nothing else. Proofs of spacetime are
// from files to proof; keys are made and files checked before.
type Estimate struct {
	// ParentCache is made once per proof type and machine.
	ParentCache time.Duration `json:"parentCache"`
	AddPiece    time.Duration `json:"addPiece"`
	PreCommit1  time.Duration `json:"preCommit1"`
	PreCommit2  time.Duration `json:"preCommit2"`
	Commit1     time.Duration `json:"commit1"`

	Commit2Trapdoor time.Duration `json:"commit2Trapdoor"`
	Commit2CRS      time.Duration `json:"commit2CRS"`
	// Window is of a full partition, WindowSectors of them.
	WindowSectors   int           `json:"windowSectors"`
	WindowTrapdoor  time.Duration `json:"windowTrapdoor"`
	WindowCRS       time.Duration `json:"windowCRS"`
	WinningTrapdoor time.Duration `json:"winningTrapdoor"`
	WinningCRS      time.Duration `json:"winningCRS"`
	// Verify is of a sector's proof of replication.
	Verify time.Duration `json:"verify"`
}

// EstimateOf computes the times of a sector size from measured rates.
func EstimateOf(size abi.SectorSize, r Rates) (Estimate, error) {
	sh, err := shape.OfSize(size)
	if err != nil {
		return Estimate{}, err
	}
	need, err := NeedOf(size, r.Cores)
	if err != nil {
		return Estimate{}, err
	}
	nodes, bytes := float64(sh.Nodes()), float64(size)
	layers := float64(sh.Layers)
	d := need.Disk
	e := Estimate{WindowSectors: sh.WindowSectors, ParentCache: seconds(nodes / r.Parents.All)}
	if d.ParentCache > 0 {
		e.ParentCache = seconds(nodes/r.Parents.All + float64(d.ParentCache)/r.DiskWrite)
	}
	e.AddPiece = seconds(bytes/r.PieceBytes + bytes/r.DiskWrite)
	// The data tree; then each layer is labelled, written and digested, in this order.
	e.PreCommit1 = seconds(bytes/r.DiskRead + float64(d.TreeD)/r.DiskWrite + nodes/r.SHA256.All +
		layers*(nodes/r.Labels.Core+bytes/r.DiskWrite+bytes/r.DigestBytes))
	// Layers are read twice, to be checked and to be hashed; both octrees have a seventh of their leaves in nodes.
	columns := r.Poseidon2.All
	if sh.Layers > 2 {
		columns = r.Poseidon11.All
	}
	e.PreCommit2 = seconds(layers*bytes*2/r.DiskRead + layers*bytes/r.DigestBytes/min(4, float64(max(r.Cores, 1))) +
		nodes/columns + 2*nodes/7/r.Poseidon8.All + float64(d.TreeC+d.Sealed+d.TreeRLast)/r.DiskWrite + 2*bytes/r.DiskRead)
	e.Commit1 = seconds(commit1(sh, r))
	parts := float64(sh.Partitions)
	porep, window, winning := need.Circuits.PoRep, need.Circuits.Window, need.Circuits.Winning
	e.Commit2Trapdoor = seconds(parts * trapdoorTime(porep, hashing, r))
	e.Commit2CRS = seconds(parts * crsTime(porep, hashing, r))
	opened := openTime(sh, r)
	vanilla := float64(sh.WindowSectors*shape.WindowChallenges) * opened / float64(max(min(r.Cores, sh.WindowSectors), 1))
	e.WindowTrapdoor = seconds(vanilla + trapdoorTime(window, opening, r))
	e.WindowCRS = seconds(vanilla + crsTime(window, opening, r))
	e.WinningTrapdoor = seconds(shape.WinningChallenges*opened + trapdoorTime(winning, opening, r))
	e.WinningCRS = seconds(shape.WinningChallenges*opened + crsTime(winning, opening, r))
	e.Verify = seconds(1/r.Verifications + (parts-1)*(1/r.Verifications/4))
	return e, nil
}

// seconds is a duration; what a rate of zero gives is the longest.
func seconds(s float64) time.Duration {
	if math.IsNaN(s) || s < 0 || s*1e9 >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(s * 1e9)
}

// discarded is the number of leaves and of hashes that an opening computes again where tree-r-last has no rows.
func discarded(sh shape.Sector) (leaves, hashes float64) {
	leaves = 1
	for range sh.Tree.DiscardedRows() + 1 {
		leaves *= 8
		hashes = hashes*8 + 1
	}
	return leaves, hashes
}

// openTime is an opening of the replica's tree on one core: the missing rows, then one read a row.
func openTime(sh shape.Sector, r Rates) float64 {
	leaves, hashes := discarded(sh)
	return hashes/r.Poseidon8.Core + leaves*node/r.DiskRead + float64(len(sh.Tree.PathArities())+1)/r.DiskSeeks
}

// commit1 opens, for each challenge, the data, the replica and the columns of a node and its parents, and checks all of it.
func commit1(sh shape.Sector, r Rates) float64 {
	rows := float64(len(sh.Tree.PathArities()))
	columns := float64(1 + shape.Degree)
	challenge := openTime(sh, r) + columns*(float64(sh.Layers)+rows)/r.DiskSeeks +
		columns*(rows/r.Poseidon8.Core+1/r.Poseidon11.Core) + float64(sh.Layers)/r.Labels.Core
	return float64(sh.Partitions*sh.ChallengesPerPartition) * challenge
}

func trapdoorTime(c Circuit, k kind, r Rates) float64 {
	synthesis := r.RowsPoseidon
	if k == hashing {
		synthesis = r.RowsSHA
	}
	return float64(c.Rows)/synthesis + float64(c.Rows)/r.Lagrange + 1/r.Verifications
}

// transforms of the domain's size that a proof takes.
const transforms = 6

// kind tells the circuits apart whose rows are mostly bits of SHA-256 from those that are Poseidon throughout.
type kind int

const (
	hashing kind = iota
	opening
)

// dense is the share of variables that are no bits, in the two kinds of circuit.
const (
	denseSHA      = 0.02
	densePoseidon = 1
)

// crsTime is the sum of synthesis, transforms, and the sums over the five lists.
func crsTime(c Circuit, k kind, r Rates) float64 {
	synthesis, dense := r.RowsPoseidon, float64(densePoseidon)
	if k == hashing {
		synthesis, dense = r.RowsSHA, denseSHA
	}
	butterflies := transforms * float64(c.Domain()) / 2 * float64(c.LogDomain())
	bits := float64(c.Aux + c.A + c.B)
	read := float64(c.FileBytes()) / r.DiskRead
	return float64(c.Rows)/synthesis + butterflies/r.Butterflies + float64(c.Domain())/r.PointsG1 +
		bits*(dense/r.PointsG1+(1-dense)/r.BitsG1) + float64(c.B)*(dense/r.PointsG2+(1-dense)/r.BitsG1*3) + read + 1/r.Verifications
}
