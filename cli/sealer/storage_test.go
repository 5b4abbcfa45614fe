package sealer

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"

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
	printPath(p, sealerapi.StoragePath{Path: "/mnt/b", Away: "not mounted"}, false)
	require.Contains(t, out.String(), "/mnt/b:\n\tAWAY: not mounted")
}
