package sealer

import (
	"bytes"
	"context"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cli/render"
)

// TestAttachFlags attaches without a sealer, as before its first start.
func TestAttachFlags(t *testing.T) {
	var got sealerapi.StorageSpec
	d := Deps{Attach: func(_ context.Context, _ string, spec sealerapi.StorageSpec) (sealerapi.StorageInfo, error) {
		got = spec
		return sealerapi.StorageInfo{ID: "x", Weight: spec.Weight, CanStore: spec.CanStore}, nil
	}}
	code, _, errOut := run(t, d, "storage", "attach", "--init", "--store", "--weight", "20", "--max-storage", "10TiB", "/mnt/disk2")
	require.Zero(t, code, errOut)
	require.Equal(t, sealerapi.StorageSpec{Path: "/mnt/disk2", Init: true, CanStore: true, Weight: 20, MaxStorage: 10 << 40}, got)
	code, out, errOut := run(t, d, "storage", "attach", "--json", "--init", "--store", "--endpoint", "https://s3.example.com", "--region", "r", "--credentials", "/etc/keys", "--profile", "p", "s3://b/x")
	require.Zero(t, code, errOut)
	require.JSONEq(t, `{"ID":"x","URLs":null,"Weight":10,"CanSeal":false,"CanStore":true}`, out)
	require.Equal(t, sealerapi.StorageS3{Endpoint: "https://s3.example.com", Region: "r", Credentials: "/etc/keys", Profile: "p"}, *got.S3)
	for _, bad := range [][]string{
		{"storage", "attach"},
		{"storage", "attach", "--init", "/x"},
		{"storage", "attach", "--store", "/x"},
		{"storage", "attach", "--max-storage", "1TiB", "/x"},
		{"storage", "attach", "--init", "--store", "--max-storage", "much", "/x"},
		{"storage", "attach", "--init", "--store", "--endpoint", "https://x", "/x"},
		{"storage", "attach", "--init", "--store", "s3://b/x"},
	} {
		code, _, errOut := run(t, d, bad...)
		require.Equal(t, 2, code, "%v: %s", bad, errOut)
	}
}

// TestPathsShown shows a path that is fine, one that is full, and one that is gone.
func TestPathsShown(t *testing.T) {
	var out bytes.Buffer
	p := render.New(&out, &out)
	printPath(p, sealerapi.StoragePath{
		StorageInfo: sealerapi.StorageInfo{ID: "id", Weight: 10, CanSeal: true, CanStore: true}, Path: "/mnt/a",
		Stat: sealerapi.FsStat{Capacity: 100 << 30, Available: 80 << 30, Reserved: 10 << 30}, Sealed: 2, Caches: 2, Stray: []string{"/mnt/a/sealed/x"},
	}, true)
	require.Equal(t, "id:\n\t[##########*****                                   ] 20 GiB/100 GiB 20%\n\tUnsealed: 0; Sealed: 2; Caches: 2; Reserved: 10 GiB\n"+
		"\tWeight: 10; Use: Seal Store\n\tLocal: /mnt/a\n\tStray: 1 names that are no sector's; nothing touches them\n\t\t/mnt/a/sealed/x\n\n", out.String())
	out.Reset()
	printPath(p, sealerapi.StoragePath{StorageInfo: sealerapi.StorageInfo{ID: "s3", Weight: 1, CanStore: true}, Path: "s3://b/x", MaxStorage: 1 << 40, Full: "it is full"}, false)
	require.Contains(t, out.String(), "no limit known")
	require.Contains(t, out.String(), "Sector files may take 1 TiB\n\tit is full\n\tURL: s3://b/x")
	out.Reset()
	printPath(p, sealerapi.StoragePath{Path: "worker:x", Detached: true, Offered: "machine-a"}, false)
	require.Contains(t, out.String(), "worker:x:\n\tDETACHED by an operator; worker machine-a offers it still. It is taken again by: venus-sealer storage attach worker:x\n")
	out.Reset()
	printPath(p, sealerapi.StoragePath{Path: "/mnt/b", Away: "not mounted"}, false)
	require.Contains(t, out.String(), "/mnt/b:\n\tAWAY: not mounted")
}

// TestDetachRefuses names the sectors that would be lost sight of, and does it when that is meant.
func TestDetachRefuses(t *testing.T) {
	c := new(client)
	files := map[string][]sealerapi.StorageDecl{"a": {}, "b": {}}
	has := func(id string, kind int, numbers ...abi.SectorNumber) {
		for _, n := range numbers {
			files[id] = append(files[id], sealerapi.StorageDecl{Miner: 1000, Number: n, SectorFileType: kind})
		}
	}
	c.Internal.StorageLocal = func(context.Context) (map[string]string, error) {
		return map[string]string{"a": "/mnt/a", "b": "/mnt/b"}, nil
	}
	c.Internal.StorageList = func(context.Context) (map[string][]sealerapi.StorageDecl, error) { return files, nil }
	var detached []string
	c.Internal.StorageDetach = func(_ context.Context, id string) error {
		detached = append(detached, id)
		return nil
	}
	has("a", sealerapi.FileSealed, 1, 2)
	has("b", sealerapi.FileSealed, 1, 2)
	_, err := asked(t, c, detach, "/mnt/a")
	require.NoError(t, err, "the other path has all of it")
	has("a", sealerapi.FileCache, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)
	for _, name := range []string{"a", "/mnt/a"} {
		_, err = asked(t, c, detach, name)
		require.ErrorContains(t, err, "12 sectors have files in "+name+" and nowhere else (1-2 4-11 ...)")
		require.Contains(t, api.Explain(err).Hint, "storage move --from "+name)
		out, err := asked(t, c, detach, "--force", name)
		require.NoError(t, err)
		require.Contains(t, out, "12 sectors have files nowhere else: 1-2 4-11 ...")
	}
	_, err = asked(t, c, detach, "/mnt/unread")
	require.NoError(t, err, "what lies there is not used anyway")
	require.Equal(t, []string{"/mnt/a", "a", "/mnt/a", "/mnt/unread"}, detached)
}

// TestFindNamesEveryKind, those of a sector that has taken data in too.
func TestFindNamesEveryKind(t *testing.T) {
	c := new(client)
	c.Internal.StorageLocal = func(context.Context) (map[string]string, error) { return map[string]string{"a": "/mnt/a"}, nil }
	c.Internal.StorageList = func(context.Context) (map[string][]sealerapi.StorageDecl, error) {
		var list []sealerapi.StorageDecl
		for kind := sealerapi.FileUnsealed; kind <= sealerapi.FileUpdateCache; kind *= 2 {
			list = append(list, sealerapi.StorageDecl{Miner: 1000, Number: 7, SectorFileType: kind})
		}
		return map[string][]sealerapi.StorageDecl{"a": list}, nil
	}
	out, err := asked(t, c, findSector, "7")
	require.NoError(t, err)
	require.Contains(t, out, "In a (Unsealed, Sealed, Cache, Update, Update cache)")
}

// TestUnsealedCopiesShown: a bad unsealed copy is told, also among bad sectors only, and makes no sector bad.
func TestUnsealedCopiesShown(t *testing.T) {
	c := new(client)
	c.Internal.SectorsList = func(context.Context) ([]abi.SectorNumber, error) { return []abi.SectorNumber{7}, nil }
	c.Internal.StorageVerify = func(_ context.Context, n abi.SectorNumber, _ bool) (sealerapi.StorageVerdict, error) {
		return sealerapi.StorageVerdict{Sector: n, Checked: "x", Unsealed: "its data has another commitment"}, nil
	}
	out, err := asked(t, c, verifySectors, "--only-bad")
	require.NoError(t, err)
	require.Contains(t, out, "unsealed copy bad")
	require.Contains(t, out, "its data has another commitment")
}
