package params

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/proofs/shape"
)

func all(t *testing.T) (out []Circuit) {
	for p := abi.RegisteredSealProof(0); p < 10; p++ {
		s, err := shape.OfSeal(p)
		require.NoError(t, err)
		out = append(out, PoRep(s))
	}
	for p := abi.RegisteredPoStProof(0); p < 15; p++ {
		s, err := shape.OfPoSt(p)
		require.NoError(t, err)
		out = append(out, PoSt(s))
	}
	for p := abi.RegisteredUpdateProof(0); p < 5; p++ {
		u, err := shape.OfUpdate(p)
		require.NoError(t, err)
		out = append(out, Update(u))
	}
	return out
}

func TestNamesAndDigestsAreFilecoins(t *testing.T) {
	var published map[string]struct{ Digest string }
	vectors.JSON(t, "proofs/parameters.json", &published)
	names := map[string]bool{}
	for _, c := range all(t) {
		for _, ext := range []string{"vk", "params"} {
			entry, ok := published[c.Name()+"."+ext]
			require.True(t, ok, c.Name())
			got, ok := c.Digest(ext)
			require.True(t, ok)
			require.Equal(t, entry.Digest, got)
		}
		names[c.Name()] = true
	}
	require.Len(t, names, 20)
	vectors.Count(t, "proofs/parameters.json", 2*len(names))
	vectors.NotApplicable(t, "proofs/parameters.json", len(published)-2*len(names), "updates with a Poseidon data tree, which no actor accepts, are not built here")
}

func TestMissingOfficialKeySaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	c := all(t)[0]
	_, err := NewOfficial(dir).VerifyingKey(c)
	require.ErrorIs(t, err, ErrMissing)
	require.ErrorContains(t, err, "dc1ade9929ade1708238f155343044ac")
	require.ErrorContains(t, err, dir)
	require.NoError(t, os.WriteFile(filepath.Join(dir, c.Name()+".vk"), []byte("something else"), 0o600))
	_, err = NewOfficial(dir).VerifyingKey(c)
	require.ErrorContains(t, err, "fetch it again")
}

func TestDevnetKeysAreKept(t *testing.T) {
	dir := t.TempDir()
	sh, err := shape.OfPoSt(abi.RegisteredPoStProof_StackedDrgWindow2KiBV1)
	require.NoError(t, err)
	c := PoSt(sh)
	first, err := NewDevnet([]byte("seed one"), dir).VerifyingKey(c)
	require.NoError(t, err)
	require.Len(t, first.Bytes(), 3076)

	d := NewDevnet([]byte("seed one"), dir)
	again, err := d.VerifyingKey(c)
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.Empty(t, d.derived.Clear(), "the kept key was not used")

	key, _ := d.paths(c)
	require.NoError(t, os.Truncate(key, 3000))
	again, err = d.VerifyingKey(c)
	require.NoError(t, err)
	require.Equal(t, first, again)

	other, err := NewDevnet([]byte("seed two"), dir).VerifyingKey(c)
	require.NoError(t, err)
	require.NotEqual(t, first, other)
}

func TestAggregationKeys(t *testing.T) {
	dir := t.TempDir()
	official := NewOfficial(dir)
	_, err := official.AggregationKey()
	require.ErrorIs(t, err, ErrMissing)
	for _, part := range []string{AggregationFileName, "ae20310138f5ba81451d723f858e3797", dir, CacheEnv} {
		require.ErrorContains(t, err, part)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, AggregationFileName), []byte("something else"), 0o600))
	_, err = official.AggregationKey()
	require.ErrorContains(t, err, "fetch it again")

	one, err := NewDevnet([]byte("one"), "").AggregationKey()
	require.NoError(t, err)
	require.NoError(t, one.Check())
	again, err := NewDevnet([]byte("one"), "").AggregationKey()
	require.NoError(t, err)
	require.Equal(t, one, again)
	two, err := NewDevnet([]byte("two"), "").AggregationKey()
	require.NoError(t, err)
	require.NotEqual(t, one, two)
	_, err = NewDevnet(nil, "").AggregationKey()
	require.Error(t, err)
}
