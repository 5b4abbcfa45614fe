package prove

import (
	"context"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/merkle"
	keys "github.com/filecoin-venus/venus/proofs/params"
	"github.com/filecoin-venus/venus/proofs/porep"
	"github.com/filecoin-venus/venus/proofs/post"
	"github.com/filecoin-venus/venus/proofs/shape"
	"github.com/filecoin-venus/venus/proofs/verify"
)

// uniform reads like a file of rows, all nodes of a row being equal, and counts what is read. It stands for the files of a
// sector of zeros, too large to be made here.
type uniform struct {
	rows []fr32.Node
	ends []int64 // where each row ends, in bytes
	read *int64
}

func (u uniform) ReadAt(b []byte, at int64) (int, error) {
	*u.read += int64(len(b))
	row := 0
	for i := range b {
		for at+int64(i) >= u.ends[row] {
			if row++; row == len(u.ends) {
				return i, io.EOF
			}
		}
		b[i] = u.rows[row][(at+int64(i))%fr32.NodeSize]
	}
	return len(b), nil
}

// zeros is a replica of zeros of any size, as lotus makes for sectors that are only to look sealed, with the number of
// bytes read from it so far.
func zeros(t testing.TB, kind abi.RegisteredPoStProof, number abi.SectorNumber) (post.Replica, *int64) {
	t.Helper()
	sh, err := shape.OfPoSt(kind)
	require.NoError(t, err)
	read := new(int64)
	first := sh.Tree.DiscardedRows() + 1
	file := uniform{read: read}
	node, nodes := fr32.Node{}, sh.Tree.BaseLeaves()
	for row := 0; row <= sh.Tree.BaseHeight(); row++ {
		if row >= first {
			end := int64(nodes) * fr32.NodeSize
			if len(file.ends) > 0 {
				end += file.ends[len(file.ends)-1]
			}
			file.rows, file.ends = append(file.rows, node), append(file.ends, end)
		}
		up := make([]fr32.Node, 8)
		for i := range up {
			up[i] = node
		}
		node, err = merkle.Poseidon(up)
		require.NoError(t, err)
		nodes /= 8
	}
	tree := &merkle.Octree{Tree: sh.Tree, First: first, Leaves: uniform{rows: []fr32.Node{{}}, ends: []int64{int64(sh.Size)}, read: read}}
	for range sh.Tree.BaseTrees() {
		tree.Files = append(tree.Files, file)
	}
	r := post.Replica{PublicSector: post.PublicSector{Number: number}, CommC: fr32.Node{1}, Tree: tree}
	r.CommRLast, err = tree.Root()
	require.NoError(t, err)
	r.CommR, err = merkle.Poseidon([]fr32.Node{r.CommC, r.CommRLast})
	require.NoError(t, err)
	return r, read
}

// TestWinningPoStOfLargeSectors proves and verifies for sectors of 32 and 64 GiB, reading a small part of them.
func TestWinningPoStOfLargeSectors(t *testing.T) {
	ctx, p, v := context.Background(), newProver(t), verify.New(devnet(t), t.TempDir())
	for kind, seal := range map[abi.RegisteredPoStProof]abi.RegisteredSealProof{
		abi.RegisteredPoStProof_StackedDrgWinning32GiBV1: abi.RegisteredSealProof_StackedDrg32GiBV1_1,
		abi.RegisteredPoStProof_StackedDrgWinning64GiBV1: abi.RegisteredSealProof_StackedDrg64GiBV1_1,
	} {
		replica, read := zeros(t, kind, 9)
		sh, err := shape.OfPoSt(kind)
		require.NoError(t, err)
		r := fr32.Node{5}
		sp, err := post.ProveSector(ctx, sh, r, 0, replica)
		require.NoError(t, err)
		require.Less(t, *read, int64(64<<20), "bytes read of a sector of %d", sh.Size)
		t.Logf("%s: %d bytes read", sh.Size.ShortString(), *read)
		b, err := p.ProveWinningPoSt(ctx, r, post.Partition{Proof: kind, Sectors: []post.SectorProof{sp}})
		require.NoError(t, err)
		info := proof.WinningPoStVerifyInfo{
			Randomness: r[:], Prover: genesisMiner, Proofs: []proof.PoStProof{{PoStProof: kind, ProofBytes: b}},
			ChallengedSectors: []proof.SectorInfo{{SealProof: seal, SectorNumber: 9, SealedCID: commp.SealedCID(replica.CommR)}},
		}
		ok, err := v.VerifyWinningPoSt(ctx, info)
		require.NoError(t, err)
		require.True(t, ok)
		info.ChallengedSectors[0].SectorNumber++
		ok, err = v.VerifyWinningPoSt(ctx, info)
		require.NoError(t, err)
		require.False(t, ok)
	}
}

// BenchmarkWinning32GiB opens and proves; opening is a metric of its own.
func BenchmarkWinning32GiB(b *testing.B) {
	const kind = abi.RegisteredPoStProof_StackedDrgWinning32GiBV1
	ctx, p := context.Background(), newProver(b)
	replica, read := zeros(b, kind, 9)
	sh, err := shape.OfPoSt(kind)
	require.NoError(b, err)
	r := fr32.Node{5}
	_, err = p.machine(ctx, keys.PoSt(sh)) // the key is made once
	require.NoError(b, err)
	var opening time.Duration
	*read = 0
	for b.Loop() {
		began := time.Now()
		sp, err := post.ProveSector(ctx, sh, r, 0, replica)
		require.NoError(b, err)
		opening += time.Since(began)
		_, err = p.ProveWinningPoSt(ctx, r, post.Partition{Proof: kind, Sectors: []post.SectorProof{sp}})
		require.NoError(b, err)
	}
	b.ReportMetric(float64(opening.Milliseconds())/float64(b.N), "opening-ms")
	b.ReportMetric(float64(*read)/float64(b.N)/1e6, "read-MB")
}

// BenchmarkVerify checks proofs of replication through the door, parsing and public inputs included: one, and a hundred
// together on all cores.
func BenchmarkVerify(b *testing.B) {
	ctx, p, v, g := context.Background(), newProver(b), verify.New(devnet(b), b.TempDir()), loadGenesis(b, 0)
	vanilla, err := porep.Prove(ctx, g.statement, g.sources)
	require.NoError(b, err)
	made, err := p.ProvePoRep(ctx, vanilla)
	require.NoError(b, err)
	// A node's memory, so that the collector does not run as often as in a program that does nothing else.
	ballast := make([]byte, 256<<20)
	defer runtime.KeepAlive(ballast)
	for name, n := range map[string]int{"one": 1, "hundred": 100} {
		infos := make([]proof.SealVerifyInfo, n)
		for i := range infos {
			infos[i] = g.info(made)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				verdicts, err := v.VerifySealBatch(ctx, infos)
				require.NoError(b, err)
				require.True(b, verdicts[n-1])
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "us/proof")
		})
	}
}
