package snapshot

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/crypto"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"
	cbg "github.com/whyrusleeping/cbor-gen"

	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
)

// The benchmarks run on a chain of 200 headers over one state of benchBytes, in blocks of the sizes that states have:
// 100 to 700 bytes, 32 links to a node. The disk's own speed is measured beside them.
const (
	benchBytes  = 256 << 20
	benchHeight = 200
	fanOut      = 32
)

// graph makes a tree of random blocks and returns its root.
func graph(b testing.TB, bytes int, put func(cid.Cid, []byte) error) cid.Cid {
	b.Helper()
	r := rand.NewPCG(1, 2)
	leaf := func() []byte {
		data := make([]byte, 100+r.Uint64()%600)
		for i := 0; i+8 <= len(data); i += 8 {
			binary.LittleEndian.PutUint64(data[i:], r.Uint64())
		}
		return append(cbg.CborEncodeMajorType(cbg.MajByteString, uint64(len(data))), data...)
	}
	store := func(data []byte) cid.Cid {
		c, err := types.CidPrefix.Sum(data)
		require.NoError(b, err)
		require.NoError(b, put(c, data))
		return c
	}
	var level []cid.Cid
	for n := 0; n < bytes; {
		data := leaf()
		n += len(data)
		level = append(level, store(data))
	}
	for len(level) > 1 {
		var up []cid.Cid
		for len(level) > 0 {
			n := min(fanOut, len(level))
			node := cbg.CborEncodeMajorType(cbg.MajArray, uint64(n))
			for _, c := range level[:n] {
				node = append(node, 0xd8, 0x2a)
				node = append(node, cbg.CborEncodeMajorType(cbg.MajByteString, uint64(len(c.Bytes())+1))...)
				node = append(append(node, 0), c.Bytes()...)
			}
			up, level = append(up, store(node)), level[n:]
		}
		level = up
	}
	return level[0]
}

// bench is a network with one large state.
type bench struct {
	net  params.Network
	head *types.TipSet
	all  []*types.TipSet
}

func newBench(b testing.TB, bytes int, put func(cid.Cid, []byte) error) *bench {
	b.Helper()
	x := new(bench)
	var err error
	x.net, err = params.ByName("local")
	require.NoError(b, err)
	miner, err := address.NewIDAddress(1000)
	require.NoError(b, err)
	root, empty := graph(b, bytes, put), graph(b, 1, put)
	var parents []cid.Cid
	for h := range benchHeight {
		header := &types.BlockHeader{
			Miner: miner, Ticket: &types.Ticket{VRFProof: fmt.Appendf(nil, "%d", h)}, ElectionProof: &types.ElectionProof{WinCount: 1}, BeaconEntries: []types.BeaconEntry{{Round: uint64(h + 1), Data: []byte("x")}},
			Parents: parents, ParentWeight: big.NewInt(int64(h)), Height: abi.ChainEpoch(h), ParentStateRoot: root, ParentMessageReceipts: empty, Messages: empty,
			BLSAggregate: &crypto.Signature{Type: crypto.SigTypeBLS}, BlockSig: &crypto.Signature{Type: crypto.SigTypeBLS}, Timestamp: uint64(1000 + h), ParentBaseFee: big.NewInt(100),
		}
		raw, err := header.Serialize()
		require.NoError(b, err)
		require.NoError(b, put(header.Cid(), raw))
		parents = []cid.Cid{header.Cid()}
		if x.head, err = types.NewTipSet([]*types.BlockHeader{header}); err != nil {
			b.Fatal(err)
		}
		x.all = append(x.all, x.head)
	}
	x.net.GenesisCID = x.all[0].Cids()[0].String()
	return x
}

// archive writes the network to a file.
func (x *bench) archive(b testing.TB, path string, from ipld.Blockstore) {
	b.Helper()
	s, err := chain.Open(context.Background(), chain.Config{Network: x.net, Blocks: from, Meta: chain.NewMemoryMeta()})
	require.ErrorIs(b, err, chain.ErrNoGenesis)
	require.NoError(b, Create(path, func(w io.Writer) error {
		_, err := Export(context.Background(), w, s, x.head, ExportOptions{Retention: chain.Retention{Recent: benchHeight}})
		return err
	}))
}

// BenchmarkDisk writes as much as an archive has and makes it durable.
func BenchmarkDisk(b *testing.B) {
	b.SetBytes(benchBytes)
	block := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(block)
	for b.Loop() {
		f, err := os.Create(filepath.Join(b.TempDir(), "x"))
		require.NoError(b, err)
		for range benchBytes >> 20 {
			_, err := f.Write(block)
			require.NoError(b, err)
		}
		require.NoError(b, f.Sync())
		require.NoError(b, f.Close())
	}
}

func BenchmarkImport(b *testing.B) {
	mem := ipld.NewMemory()
	x := newBench(b, benchBytes, func(c cid.Cid, data []byte) error { return mem.Put(b.Context(), c, data) })
	for _, name := range []string{"chain.car", "chain.car.zst"} {
		path := filepath.Join(b.TempDir(), name)
		x.archive(b, path, mem)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(benchBytes)
			for b.Loop() {
				dir := b.TempDir()
				disk, err := ipld.OpenDisk(dir)
				require.NoError(b, err)
				s, err := chain.Open(b.Context(), chain.Config{Network: x.net, Blocks: disk, Meta: chain.NewMemoryMeta()})
				require.ErrorIs(b, err, chain.ErrNoGenesis)
				src, err := Open(b.Context(), path)
				require.NoError(b, err)
				_, err = Import(b.Context(), disk, s, src, ImportOptions{})
				require.NoError(b, err)
				require.NoError(b, src.Close())
				require.NoError(b, disk.Close())
			}
		})
	}
}

func BenchmarkExport(b *testing.B) {
	for _, kind := range []string{"pack", "hot", "shuffled"} {
		b.Run(kind, func(b *testing.B) {
			dir := b.TempDir()
			disk, err := ipld.OpenDisk(dir)
			require.NoError(b, err)
			defer disk.Close()
			x := fill(b, disk, kind)
			s, err := chain.Open(b.Context(), chain.Config{Network: x.net, Blocks: disk, Meta: chain.NewMemoryMeta()})
			require.ErrorIs(b, err, chain.ErrNoGenesis)
			b.SetBytes(benchBytes)
			for b.Loop() {
				f, err := os.Create(filepath.Join(dir, "out.car"))
				require.NoError(b, err)
				_, err = Export(b.Context(), f, s, x.head, ExportOptions{Retention: chain.Retention{Recent: benchHeight}})
				require.NoError(b, err)
				require.NoError(b, f.Sync())
				require.NoError(b, f.Close())
			}
		})
	}
}

// fill puts the network of the benchmarks into a store: as an import would, as a node would that writes it block by block (hot), or
// in an order that has nothing to do with the one of an export, as a state of many epochs has (shuffled).
func fill(b *testing.B, disk *ipld.Disk, kind string) *bench {
	if kind != "pack" {
		var list []blocks.Block
		x := newBench(b, benchBytes, func(c cid.Cid, data []byte) error {
			blk, err := blocks.NewBlockWithCid(data, c)
			list = append(list, blk)
			return err
		})
		if kind == "shuffled" {
			rand.New(rand.NewPCG(3, 4)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		}
		for batch := range slices.Chunk(list, 4096) {
			require.NoError(b, disk.PutMany(b.Context(), batch))
		}
		return x
	}
	mem := ipld.NewMemory()
	x := newBench(b, benchBytes, func(c cid.Cid, data []byte) error { return mem.Put(b.Context(), c, data) })
	path := filepath.Join(b.TempDir(), "in.car")
	x.archive(b, path, mem)
	s, err := chain.Open(b.Context(), chain.Config{Network: x.net, Blocks: disk, Meta: chain.NewMemoryMeta()})
	require.ErrorIs(b, err, chain.ErrNoGenesis)
	src, err := Open(b.Context(), path)
	require.NoError(b, err)
	_, err = Import(b.Context(), disk, s, src, ImportOptions{})
	require.NoError(b, err)
	require.NoError(b, src.Close())
	return x
}
