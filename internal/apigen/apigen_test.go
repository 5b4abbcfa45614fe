package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestProxiesAreFresh fails when a contract was changed without `go generate`.
func TestProxiesAreFresh(t *testing.T) {
	files, err := filepath.Glob("../../api/*/proxy_gen.go")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 5)
	for _, f := range files {
		pkg, err := parsePackage(filepath.Dir(f))
		require.NoError(t, err, f)
		want, err := pkg.render()
		require.NoError(t, err, f)
		have, err := os.ReadFile(f)
		require.NoError(t, err)
		require.Equal(t, string(want), string(have), "run go generate in %s", filepath.Dir(f))
	}
}

func TestRefusals(t *testing.T) {
	wide := ""
	for i := range maxTopic + 1 {
		wide += "\n// M does.\n//perm:read\nM" + strings.Repeat("x", i) + "(ctx context.Context) error"
	}
	for name, tc := range map[string]struct{ body, want string }{
		"no permission":    {"// Do does.\nDo(ctx context.Context) error", `permission ""`},
		"odd permission":   {"// Do does.\n//perm:root\nDo(ctx context.Context) error", `permission "root"`},
		"no comment":       {"Do(ctx context.Context) error", "no doc comment"},
		"only permission":  {"//perm:read\nDo(ctx context.Context) error", "no doc comment"},
		"no names":         {"// Do does.\n//perm:read\nDo(context.Context, int) error", "needs a name"},
		"no context":       {"// Do does.\n//perm:read\nDo(n int) error", "context.Context"},
		"no error":         {"// Do does.\n//perm:read\nDo(ctx context.Context) int", "results must be"},
		"three results":    {"// Do does.\n//perm:read\nDo(ctx context.Context) (int, int, error)", "results must be"},
		"twice":            {"// Do does.\n//perm:read\nDo(ctx context.Context) error\nOther", "twice"},
		"too wide":         {wide, "split it"},
		"foreign topic":    {"io.Reader", "only topics"},
		"unknown embedded": {"Nobody", "not declared"},
	} {
		dir := t.TempDir()
		src := "package x\n\nimport (\n\"context\"\n\"io\"\n)\n\n// Other is a topic.\ntype Other interface {\n// Do does.\n//perm:read\nDo(ctx context.Context) error\n}\n\n" +
			"// S is a service.\n//\n//api:service\ntype S interface {\n" + tc.body + "\n}\n"
		require.NoError(t, os.WriteFile(filepath.Join(dir, "x.go"), []byte(src), 0o600))
		_, err := parsePackage(dir)
		require.ErrorContains(t, err, tc.want, name)
	}
	_, err := parsePackage(t.TempDir())
	require.ErrorContains(t, err, "no interface is marked")
}

func TestTags(t *testing.T) {
	m := method{perm: "read", doc: "Do does `it`.", names: []string{"a", "b"}, paced: true}
	require.Equal(t, "\"perm:\\\"read\\\" args:\\\"a,b\\\" stream:\\\"paced\\\" doc:\\\"Do does `it`.\\\"\"", m.tag())
	m = method{perm: "admin", doc: `Do "does".`}
	require.Equal(t, "`perm:\"admin\" doc:\"Do \\\"does\\\".\"`", m.tag())
}
