package machine

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/proofs/r1cs"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// TestParameterFilesHaveFilecoinsSizes compares with sizes of published files and of files made here.
func TestParameterFilesHaveFilecoinsSizes(t *testing.T) {
	for size, want := range map[abi.SectorSize][4]uint64{ // proof of replication, winning, window; key of the window
		2 << 10:   {1_114_707_768, 47_299_128, 11_501_496, 3_076},
		8 << 20:   {1_429_027_896, 113_383_224, 30_859_704, 3_076},
		512 << 20: {1_988_841_144, 165_299_640, 45_257_400, 3_076},
		32 << 30:  {47_373_928_632, 192_050_232, 60_780_374_232, 2_481_508},
		64 << 30:  {47_624_967_288, 200_014_584, 62_556_733_560, 2_429_764},
	} {
		c := circuitsOf[size]
		require.Equal(t, want, [4]uint64{c.PoRep.FileBytes(), c.Winning.FileBytes(), c.Window.FileBytes(), c.Window.KeyBytes()}, size.ShortString())
	}
	require.EqualValues(t, 655_789_464, circuitsOf[2<<10].Update.FileBytes())
	require.EqualValues(t, 35_507_495_352, circuitsOf[64<<30].Update.FileBytes())
}

// TestCircuitsAreCounted counts the circuits that are quick to count.
func TestCircuitsAreCounted(t *testing.T) {
	for _, size := range []abi.SectorSize{2 << 10, 8 << 20, 512 << 20} {
		for i, id := range MainCircuits(size) {
			if i == 0 {
				continue // the proof of replication
			}
			counter := &r1cs.Counter{Densities: true}
			s := r1cs.New(counter)
			id.Blank().Synthesize(s)
			s.Close()
			got := Circuit{
				Rows: uint64(counter.Rows), Inputs: uint64(len(s.Inputs())), Aux: uint64(s.NumAux()),
				A: uint64(counter.DensityA()), B: uint64(counter.DensityB()),
			}
			c := circuitsOf[size]
			require.Equal(t, []Circuit{c.PoRep, c.Winning, c.Window}[i], got, id.Title)
		}
	}
}

func TestDiskOfASector(t *testing.T) {
	for _, c := range []struct {
		size abi.SectorSize
		want Disk
	}{
		{2 << 10, Disk{Unsealed: 2048, TreeD: 127 * 32, Layers: 4096, TreeC: 73 * 32, TreeRLast: 32, Sealed: 2048}},
		{32 << 30, Disk{
			Unsealed: 32 << 30, TreeD: 64<<30 - 32, Layers: 11 * 32 << 30, Sealed: 32 << 30,
			// The field's tree-c files have 4,908,534,048 bytes and tree-r-last files 9,586,976, eight of each.
			TreeC: 8 * 4_908_534_048, TreeRLast: 8 * 9_586_976,
			ParentCache: 56 << 30,
		}},
	} {
		n, err := NeedOf(c.size, 4)
		require.NoError(t, err)
		got := n.Disk
		require.Equal(t, got.Unsealed+got.TreeD+got.Layers+got.TreeC+got.TreeRLast+got.Sealed+1088, got.Sealing)
		require.Equal(t, got.Sealed+got.TreeRLast+1088, got.Rest)
		got.Sealing, got.Rest, got.Params = 0, 0, 0
		require.Equal(t, c.want, got, c.size.ShortString())
	}
}

// TestMemoryOf32GiB is the calculation of docs/guide/proofs.md.
func TestMemoryOf32GiB(t *testing.T) {
	n, err := NeedOf(32<<30, 32)
	require.NoError(t, err)
	m := n.Memory
	require.Greater(t, m.PreCommit1, uint64(64*gib))
	require.Less(t, m.PreCommit1, uint64(64*gib+256*mib), "two layers, and buffers that do not grow with the sector")
	require.Less(t, m.PreCommit2, uint64(gib))
	require.Less(t, m.Commit1, uint64(gib))
	require.Less(t, m.Commit2Trapdoor, uint64(gib))
	require.Less(t, m.Most(true), uint64(128*gib))
	require.Equal(t, m.PreCommit1, m.Most(false))
	more, err := NeedOf(64<<30, 32)
	require.NoError(t, err)
	require.Greater(t, more.Memory.PreCommit1, uint64(128*gib))
}

func TestNeedsOfOtherSizesAreRefused(t *testing.T) {
	for _, size := range []abi.SectorSize{0, 3, 4 << 10, 1 << 30} {
		_, err := NeedOf(size, 1)
		require.ErrorIs(t, err, shape.ErrUnsupported)
		_, err = EstimateOf(size, Rates{})
		require.ErrorIs(t, err, shape.ErrUnsupported)
	}
}

func TestFits(t *testing.T) {
	n := Need{Memory: Memory{PreCommit1: 10, Commit2Trapdoor: 4, Commit2CRS: 30}, Disk: Disk{Sealing: 7, ParentCache: 5}}
	require.Equal(t, Fits{}, n.FitsOn(Host{Memory: 30, DiskFree: 12}))
	require.Equal(t, Fits{MemoryTrapdoor: 1, MemoryCRS: 21, Disk: 2}, n.FitsOn(Host{Memory: 9, DiskFree: 10}))
}
