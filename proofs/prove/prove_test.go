package prove

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/blake2b"

	"github.com/filecoin-venus/venus/internal/memory"
	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/groth16"
	"github.com/filecoin-venus/venus/proofs/groth16/prover"
	"github.com/filecoin-venus/venus/proofs/merkle"
	keys "github.com/filecoin-venus/venus/proofs/params"
	"github.com/filecoin-venus/venus/proofs/porep"
	"github.com/filecoin-venus/venus/proofs/post"
	"github.com/filecoin-venus/venus/proofs/sdr"
	"github.com/filecoin-venus/venus/proofs/shape"
	"github.com/filecoin-venus/venus/proofs/verify"
)

const genesisMiner = 106

// genesisSector is one of the two real sectors, with everything computed again from its replica.
type genesisSector struct {
	id           abi.SectorID
	commR, commD cid.Cid
	statement    porep.Statement
	sources      porep.Sources
	replica      post.Replica
}

var (
	genesisTicket = blake2b.Sum256([]byte("lotus is fire"))
	testSeed      = [32]byte{1, 2, 3, 0xff, 31: 0xff}
)

func loadGenesis(t testing.TB, number abi.SectorNumber) *genesisSector {
	t.Helper()
	var file map[string]struct {
		Sectors []struct{ CommR, CommD cid.Cid }
	}
	vectors.JSON(t, "proofs/genesis-sectors/pre-seal-t0106.json", &file)
	entry := file["t0106"].Sectors[number]
	g := &genesisSector{id: abi.SectorID{Miner: genesisMiner, Number: number}, commR: entry.CommR, commD: entry.CommD}
	var err error
	g.statement, err = porep.StatementOf(g.info(nil))
	require.NoError(t, err)

	name := map[abi.SectorNumber]string{0: "s-t0106-0", 1: "s-t0106-1"}[number]
	replica, err := os.ReadFile(filepath.Join(vectors.Dir(t), "proofs/genesis-sectors/sealed", name))
	require.NoError(t, err)
	layers := g.label(t)
	data := make([]byte, len(replica))
	require.NoError(t, porep.Decode(data, replica, layers[1]))
	g.plant(t, layers, data, replica)
	return g
}

// label computes the label layers of a sector whose statement is known.
func (g *genesisSector) label(t testing.TB) [2][]byte {
	t.Helper()
	sh, err := shape.OfSeal(g.statement.SealProof)
	require.NoError(t, err)
	ctx, graph := context.Background(), sdr.NewGraph(sh)
	layers := [2][]byte{make([]byte, 32*sh.Nodes()), make([]byte, 32*sh.Nodes())}
	require.NoError(t, sdr.LabelLayer(ctx, graph, g.statement.ReplicaID, 1, nil, layers[0], nil))
	require.NoError(t, sdr.LabelLayer(ctx, graph, g.statement.ReplicaID, 2, layers[0], layers[1], nil))
	return layers
}

// plant grows the trees that proofs open.
func (g *genesisSector) plant(t testing.TB, layers [2][]byte, data, replica []byte) {
	t.Helper()
	sh, err := shape.OfSeal(g.statement.SealProof)
	require.NoError(t, err)
	binary := make(merkle.Memory, merkle.BinarySize(sh.Nodes()))
	copy(binary, data)
	root, err := merkle.BuildBinary(context.Background(), binary, sh.Nodes())
	require.NoError(t, err)
	require.Equal(t, g.statement.CommD, root)
	columns := make([]byte, len(replica))
	for i := range sh.Nodes() {
		pair := []fr32.Node{fr32.Node(layers[0][32*i : 32*i+32]), fr32.Node(layers[1][32*i : 32*i+32])}
		h, err := merkle.Poseidon(pair)
		require.NoError(t, err)
		copy(columns[32*i:], h[:])
	}
	g.sources = porep.Sources{
		Layers: []io.ReaderAt{merkle.Memory(layers[0]), merkle.Memory(layers[1])},
		TreeD:  merkle.Binary{File: binary, Leaves: sh.Nodes()},
		TreeC:  octree(t, sh.Tree, columns), TreeR: octree(t, sh.Tree, replica),
	}
	g.replica = post.Replica{PublicSector: post.PublicSector{Number: g.id.Number, CommR: g.statement.CommR}, Tree: g.sources.TreeR}
	g.replica.CommC, err = g.sources.TreeC.Root()
	require.NoError(t, err)
	g.replica.CommRLast, err = g.sources.TreeR.Root()
	require.NoError(t, err)
}

func octree(t testing.TB, tree shape.Tree, leaves []byte) *merkle.Octree {
	t.Helper()
	file := make(merkle.Memory, merkle.OctreeSize(tree, 0))
	fill := func(start uint64, dst []byte) error { copy(dst, leaves[32*start:]); return nil }
	_, err := merkle.BuildOctrees(context.Background(), tree, 0, []merkle.File{file}, func() (merkle.FillLeaves, error) { return fill, nil })
	require.NoError(t, err)
	return &merkle.Octree{Tree: tree, Files: []io.ReaderAt{file}}
}

func (g *genesisSector) info(b []byte) proof.SealVerifyInfo {
	return proof.SealVerifyInfo{
		SealProof: abi.RegisteredSealProof_StackedDrg2KiBV1, SectorID: g.id, Randomness: genesisTicket[:],
		InteractiveRandomness: testSeed[:], Proof: b, SealedCID: g.commR, UnsealedCID: g.commD,
	}
}

func (g *genesisSector) sectorInfo() proof.SectorInfo {
	return proof.SectorInfo{SealProof: abi.RegisteredSealProof_StackedDrg2KiBV1, SectorNumber: g.id.Number, SealedCID: g.commR}
}

func (g *genesisSector) open(t testing.TB, p abi.RegisteredPoStProof, r fr32.Node, position int) post.SectorProof {
	t.Helper()
	sh, err := shape.OfPoSt(p)
	require.NoError(t, err)
	sp, err := post.ProveSector(context.Background(), sh, r, position, g.replica)
	require.NoError(t, err)
	return sp
}

func devnet(t testing.TB) params.Network {
	t.Helper()
	n, err := params.ByName("2k")
	require.NoError(t, err)
	return n
}

func newProver(t testing.TB) *Prover {
	t.Helper()
	p, err := NewIn(t.TempDir(), devnet(t), Trapdoor)
	require.NoError(t, err)
	return p
}

func TestGenesisSealsProveAndVerify(t *testing.T) {
	ctx := context.Background()
	p, v := newProver(t), verify.New(devnet(t), t.TempDir())
	var infos []proof.SealVerifyInfo
	for n := range abi.SectorNumber(2) {
		g := loadGenesis(t, n)
		vanilla, err := porep.Prove(ctx, g.statement, g.sources)
		require.NoError(t, err)
		b, err := p.ProvePoRep(ctx, vanilla)
		require.NoError(t, err)
		require.Len(t, b, groth16.ProofSize)
		ok, err := v.VerifySeal(ctx, g.info(b))
		require.NoError(t, err)
		require.True(t, ok)
		infos = append(infos, g.info(b))

		broken := vanilla
		broken.Partitions = [][]porep.Challenge{append([]porep.Challenge(nil), vanilla.Partitions[0]...)}
		broken.Partitions[0][1].Data.Leaf[3] ^= 1
		_, err = p.ProvePoRep(ctx, broken)
		require.ErrorIs(t, err, prover.ErrUnsatisfied)
		other := vanilla
		other.Seed[0] ^= 1 // the openings are sound but answer other challenges
		_, err = p.ProvePoRep(ctx, other)
		require.ErrorIs(t, err, groth16.ErrInvalid)
	}

	for name, tamper := range map[string]func(i *proof.SealVerifyInfo){
		"ticket":  func(i *proof.SealVerifyInfo) { i.Randomness = flip(i.Randomness) },
		"seed":    func(i *proof.SealVerifyInfo) { i.InteractiveRandomness = flip(i.InteractiveRandomness) },
		"miner":   func(i *proof.SealVerifyInfo) { i.Miner++ },
		"number":  func(i *proof.SealVerifyInfo) { i.Number += 7 },
		"version": func(i *proof.SealVerifyInfo) { i.SealProof = abi.RegisteredSealProof_StackedDrg2KiBV1_1 },
		"CommD":   func(i *proof.SealVerifyInfo) { i.UnsealedCID = infos[1].UnsealedCID },
		"CommR":   func(i *proof.SealVerifyInfo) { i.SealedCID = infos[1].SealedCID },
		"proof":   func(i *proof.SealVerifyInfo) { i.Proof = infos[1].Proof },
		"bit":     func(i *proof.SealVerifyInfo) { i.Proof = flip(i.Proof) },
		"length":  func(i *proof.SealVerifyInfo) { i.Proof = i.Proof[:191] },
		"nothing": func(i *proof.SealVerifyInfo) { *i = proof.SealVerifyInfo{} },
	} {
		bad := infos[0]
		tamper(&bad)
		ok, err := v.VerifySeal(ctx, bad)
		require.NoError(t, err, name)
		require.False(t, ok, name)
		verdicts, err := v.VerifySealBatch(ctx, []proof.SealVerifyInfo{infos[0], infos[1], bad, infos[0], infos[1], infos[1], infos[0], infos[0], infos[0]})
		require.NoError(t, err)
		require.Equal(t, []bool{true, true, false, true, true, true, true, true, true}, verdicts, name)
	}
}

func flip(b []byte) []byte {
	b = append([]byte(nil), b...)
	b[len(b)/2] ^= 4
	return b
}

func TestGenesisWinningPoSt(t *testing.T) {
	ctx := context.Background()
	p, v := newProver(t), verify.New(devnet(t), t.TempDir())
	r := append(make([]byte, 31), 0xff) // not a field element until cut
	masked, err := post.Randomness(r)
	require.NoError(t, err)
	const kind = abi.RegisteredPoStProof_StackedDrgWinning2KiBV1
	sectors := []*genesisSector{loadGenesis(t, 0), loadGenesis(t, 1)}
	pick, err := verify.WinningPoStChallenge(genesisMiner, r, 2)
	require.NoError(t, err)
	require.Len(t, pick, 1)
	g, other := sectors[pick[0]], sectors[1-pick[0]]

	b, err := p.ProveWinningPoSt(ctx, masked, post.Partition{Proof: kind, Sectors: []post.SectorProof{g.open(t, kind, masked, 0)}})
	require.NoError(t, err)
	good := func() proof.WinningPoStVerifyInfo {
		return proof.WinningPoStVerifyInfo{
			Randomness: r, Prover: genesisMiner, Proofs: []proof.PoStProof{{PoStProof: kind, ProofBytes: b}},
			ChallengedSectors: []proof.SectorInfo{g.sectorInfo()},
		}
	}
	ok, err := v.VerifyWinningPoSt(ctx, good())
	require.NoError(t, err)
	require.True(t, ok)
	for name, tamper := range map[string]func(i *proof.WinningPoStVerifyInfo){
		"randomness": func(i *proof.WinningPoStVerifyInfo) { i.Randomness = flip(r) },
		"sector":     func(i *proof.WinningPoStVerifyInfo) { i.ChallengedSectors[0].SectorNumber = other.id.Number },
		"CommR":      func(i *proof.WinningPoStVerifyInfo) { i.ChallengedSectors[0].SealedCID = other.commR },
		"more": func(i *proof.WinningPoStVerifyInfo) {
			i.ChallengedSectors = append(i.ChallengedSectors, other.sectorInfo())
		},
		"none": func(i *proof.WinningPoStVerifyInfo) { i.ChallengedSectors = nil },
		"bit":  func(i *proof.WinningPoStVerifyInfo) { i.Proofs[0].ProofBytes = flip(b) },
		"kind": func(i *proof.WinningPoStVerifyInfo) {
			i.Proofs[0].PoStProof = abi.RegisteredPoStProof_StackedDrgWindow2KiBV1
		},
		"proofs": func(i *proof.WinningPoStVerifyInfo) { i.Proofs = append(i.Proofs, i.Proofs[0]) },
	} {
		bad := good()
		tamper(&bad)
		ok, err := v.VerifyWinningPoSt(ctx, bad)
		require.NoError(t, err, name)
		require.False(t, ok, name)
		all, err := v.VerifyWinningPoStBatch(ctx, []proof.WinningPoStVerifyInfo{good(), bad, good()})
		require.NoError(t, err, name)
		require.Equal(t, []bool{true, false, true}, all, "a batch with another "+name)
	}
	// So many that they are shared out.
	many, want := make([]proof.WinningPoStVerifyInfo, 100), make([]bool, 100)
	for i := range many {
		many[i], want[i] = good(), i%49 != 0
		if !want[i] {
			many[i].Randomness = flip(r)
		}
	}
	all, err := v.VerifyWinningPoStBatch(ctx, many)
	require.NoError(t, err)
	require.Equal(t, want, all)
}

func TestGenesisWindowPoSt(t *testing.T) {
	ctx := context.Background()
	p, v := newProver(t), verify.New(devnet(t), t.TempDir())
	r := abi.PoStRandomness(testSeed[:])
	masked, err := post.Randomness(r)
	require.NoError(t, err)
	a, b := loadGenesis(t, 0), loadGenesis(t, 1)
	for _, kind := range []abi.RegisteredPoStProof{abi.RegisteredPoStProof_StackedDrgWindow2KiBV1, abi.RegisteredPoStProof_StackedDrgWindow2KiBV1_1} {
		for _, sectors := range [][]*genesisSector{{a, b}, {b}} {
			part := post.Partition{Proof: kind}
			var infos []proof.SectorInfo
			for i, g := range sectors {
				part.Sectors = append(part.Sectors, g.open(t, kind, masked, i))
				infos = append([]proof.SectorInfo{g.sectorInfo()}, infos...) // order does not matter
			}
			made, err := p.ProveWindowPoSt(ctx, masked, 0, []post.Partition{part})
			require.NoError(t, err)
			info := proof.WindowPoStVerifyInfo{
				Randomness: r, Prover: genesisMiner, Proofs: []proof.PoStProof{{PoStProof: kind, ProofBytes: made}}, ChallengedSectors: infos,
			}
			ok, err := v.VerifyWindowPoSt(ctx, info)
			require.NoError(t, err)
			require.True(t, ok)
			info.ChallengedSectors = append(info.ChallengedSectors, infos[0])
			ok, err = v.VerifyWindowPoSt(ctx, info)
			require.NoError(t, err)
			require.True(t, ok, "a sector standing in for a faulty one is listed twice")
			info.Randomness = flip(r)
			ok, err = v.VerifyWindowPoSt(ctx, info)
			require.NoError(t, err)
			require.False(t, ok)
		}
	}
}

func TestPublicNetworksRefuseTheTrapdoor(t *testing.T) {
	for _, name := range []string{"mainnet", "calibnet", "nerpa"} {
		n, err := params.ByName(name)
		require.NoError(t, err)
		_, err = New(n, Trapdoor)
		require.ErrorIs(t, err, ErrRefused, name)
	}
}

// TestCRSProofsOfSpacetime makes parameter files for the 2 KiB circuits, checks their sizes against the reference's, and
// proves with them what the same verifier accepts. The larger one, of winning PoSt, runs when VENUS_LONG_TESTS is set.
func TestCRSProofsOfSpacetime(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	p, err := NewIn(dir, devnet(t), CRS)
	require.NoError(t, err)
	v := verify.New(devnet(t), t.TempDir())
	r := fr32.Node{7}
	g := loadGenesis(t, 1)
	for kind, size := range map[abi.RegisteredPoStProof]int64{
		abi.RegisteredPoStProof_StackedDrgWinning2KiBV1: 47299128, abi.RegisteredPoStProof_StackedDrgWindow2KiBV1: 11501496,
	} {
		if os.Getenv("VENUS_LONG_TESTS") == "" && size > 20<<20 {
			continue
		}
		part := post.Partition{Proof: kind, Sectors: []post.SectorProof{g.open(t, kind, r, 0)}}
		b, err := p.ProveWindowPoSt(ctx, r, 0, []post.Partition{part})
		require.NoError(t, err)
		sh, err := shape.OfPoSt(kind)
		require.NoError(t, err)
		files, err := filepath.Glob(filepath.Join(dir, "*", keys.PoSt(sh).Name()+".params"))
		require.NoError(t, err)
		require.Len(t, files, 1)
		info, err := os.Stat(files[0])
		require.NoError(t, err)
		require.Equal(t, size, info.Size())

		proofs := []proof.PoStProof{{PoStProof: kind, ProofBytes: b}}
		sectors := []proof.SectorInfo{g.sectorInfo()}
		var ok bool
		if sh.Winning {
			ok, err = v.VerifyWinningPoSt(ctx, proof.WinningPoStVerifyInfo{Randomness: r[:], Prover: genesisMiner, Proofs: proofs, ChallengedSectors: sectors})
		} else {
			ok, err = v.VerifyWindowPoSt(ctx, proof.WindowPoStVerifyInfo{Randomness: r[:], Prover: genesisMiner, Proofs: proofs, ChallengedSectors: sectors})
		}
		require.NoError(t, err)
		require.True(t, ok)
	}
}

// TestCRSProofOfReplication runs when VENUS_LONG_TESTS is set: its parameter file takes minutes and 1.1 GB.
func TestCRSProofOfReplication(t *testing.T) {
	if os.Getenv("VENUS_LONG_TESTS") == "" {
		t.Skip("takes minutes and a file of 1.1 GB: set VENUS_LONG_TESTS to run it")
	}
	ctx, dir := context.Background(), t.TempDir()
	p, err := NewIn(dir, devnet(t), CRS)
	require.NoError(t, err)
	g := loadGenesis(t, 0)
	vanilla, err := porep.Prove(ctx, g.statement, g.sources)
	require.NoError(t, err)
	for _, what := range []string{"setup and proof", "proof"} {
		began := time.Now()
		b, err := p.ProvePoRep(ctx, vanilla)
		require.NoError(t, err)
		t.Logf("%s: %s", what, time.Since(began))
		ok, err := verify.New(devnet(t), t.TempDir()).VerifySeal(ctx, g.info(b))
		require.NoError(t, err)
		require.True(t, ok)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.params"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	info, err := os.Stat(files[0])
	require.NoError(t, err)
	require.EqualValues(t, 1114707768, info.Size())
}

func BenchmarkWinning2KiB(b *testing.B) {
	p, g := newProver(b), loadGenesis(b, 0)
	const kind = abi.RegisteredPoStProof_StackedDrgWinning2KiBV1
	r := fr32.Node{1}
	part := post.Partition{Proof: kind, Sectors: []post.SectorProof{g.open(b, kind, r, 0)}}
	b.ResetTimer()
	for b.Loop() {
		_, err := p.ProveWinningPoSt(context.Background(), r, part)
		require.NoError(b, err)
	}
}

func BenchmarkWindow2KiB(b *testing.B) {
	p, g := newProver(b), loadGenesis(b, 0)
	const kind = abi.RegisteredPoStProof_StackedDrgWindow2KiBV1
	r := fr32.Node{1}
	part := post.Partition{Proof: kind, Sectors: []post.SectorProof{g.open(b, kind, r, 0)}}
	b.ResetTimer()
	for b.Loop() {
		_, err := p.ProveWindowPoSt(context.Background(), r, 0, []post.Partition{part})
		require.NoError(b, err)
	}
}

func BenchmarkPoRep2KiB(b *testing.B) {
	p, g := newProver(b), loadGenesis(b, 0)
	vanilla, err := porep.Prove(context.Background(), g.statement, g.sources)
	require.NoError(b, err)
	_, err = p.ProvePoRep(context.Background(), vanilla) // makes the key
	require.NoError(b, err)
	peak := memory.Peak(func() {
		for b.Loop() {
			_, err := p.ProvePoRep(context.Background(), vanilla)
			require.NoError(b, err)
		}
	})
	b.ReportMetric(float64(peak)/1e6, "peak-MB")
}

// BenchmarkPoRep2KiBCRS makes the parameter file and proves with it; both with their peak of memory.
func BenchmarkPoRep2KiBCRS(b *testing.B) {
	ctx, g := context.Background(), loadGenesis(b, 0)
	p, err := NewIn(b.TempDir(), devnet(b), CRS)
	require.NoError(b, err)
	vanilla, err := porep.Prove(ctx, g.statement, g.sources)
	require.NoError(b, err)
	sh, err := shape.OfSeal(vanilla.SealProof)
	require.NoError(b, err)
	began := time.Now()
	setup := memory.Peak(func() { _, err = p.machine(ctx, keys.PoRep(sh)) })
	require.NoError(b, err)
	took := time.Since(began)
	peak := memory.Peak(func() {
		for b.Loop() {
			_, err := p.ProvePoRep(ctx, vanilla)
			require.NoError(b, err)
		}
	})
	b.ReportMetric(took.Seconds(), "setup-s")
	b.ReportMetric(float64(setup)/1e6, "setup-MB")
	b.ReportMetric(float64(peak)/1e6, "peak-MB")
}
