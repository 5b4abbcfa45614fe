package auth_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	authapi "github.com/filecoin-venus/venus/api/auth"
	"github.com/filecoin-venus/venus/auth"
	"github.com/filecoin-venus/venus/auth/stores"
	"github.com/filecoin-venus/venus/internal/mariadb"
)

// BenchmarkVerify asks over HTTP about 100 tokens, from keep-alive connections, client and server on the same cores.
func BenchmarkVerify(b *testing.B) {
	d := start(b, b.TempDir())
	var bodies []string
	for i := range 100 {
		bodies = append(bodies, "token="+d.gen(b, fmt.Sprint("n", i), "read"))
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	var n atomic.Int64
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := client.Post(d.url+"/verify", form, strings.NewReader(bodies[n.Add(1)%100]))
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != 200 {
				b.Errorf("status %d", resp.StatusCode)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

// wrkScript asks about the tokens of a file in turn.
const wrkScript = `
local bodies, at = {}, 0
for line in io.lines(%q) do bodies[#bodies + 1] = line end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
request = function()
  at = at %% #bodies + 1
  return wrk.format(nil, nil, nil, bodies[at])
end
`

// BenchmarkVerifyWrk asks about 100 tokens with wrk for ten seconds, on the same cores and as fast as it can: from 16
// connections, and from 64, which mostly wait for their turn on the processors.
func BenchmarkVerifyWrk(b *testing.B) {
	program, err := exec.LookPath("wrk")
	if err != nil {
		b.Skip("wrk is not installed; Debian's package is wrk")
	}
	d := start(b, b.TempDir())
	bodies, dir := "", b.TempDir()
	for i := range 100 {
		bodies += "token=" + d.gen(b, fmt.Sprint("n", i), "read") + "\n"
	}
	list, script := filepath.Join(dir, "bodies"), filepath.Join(dir, "verify.lua")
	require.NoError(b, os.WriteFile(list, []byte(bodies), 0o600))
	require.NoError(b, os.WriteFile(script, fmt.Appendf(nil, wrkScript, list), 0o600))
	for _, connections := range []int{16, 64} {
		b.Run(fmt.Sprint(connections), func(b *testing.B) {
			for b.Loop() {
				out, err := exec.Command(program, "-t", "2", "-c", fmt.Sprint(connections), "-d", "10s", "--latency", "-s", script, d.url+"/verify").CombinedOutput()
				require.NoError(b, err, "%s", out)
				require.NotContains(b, string(out), "Non-2xx")
				rate := regexp.MustCompile(`Requests/sec:\s+([\d.]+)`).FindSubmatch(out)
				slow := regexp.MustCompile(`99%\s+([\d.]+m?s)`).FindSubmatch(out)
				require.True(b, rate != nil && slow != nil, "%s", out)
				perSecond, err := strconv.ParseFloat(string(rate[1]), 64)
				require.NoError(b, err)
				p99, err := time.ParseDuration(string(slow[1]))
				require.NoError(b, err)
				b.ReportMetric(perSecond, "req/s")
				b.ReportMetric(float64(p99)/1e6, "p99-ms")
			}
		})
	}
}

// BenchmarkList reads pages of 100 tokens out of 100,000 over HTTP: the first, the last and one by search.
func BenchmarkList(b *testing.B) {
	for _, kind := range []string{auth.Badger, auth.MySQL} {
		b.Run(kind, func(b *testing.B) {
			d := startWith(b, b.TempDir(), kind)
			fill(b, d)
			for name, q := range map[string]authapi.ListQuery{"first": {}, "last": {Skip: 99_900}, "search": {Search: "99999"}} {
				b.Run(name, func(b *testing.B) {
					d.stop() // a new start has not heard of this address yet
					*d = *start(b, d.dir)
					c := d.client(b, d.token)
					for b.Loop() {
						list, err := c.Tokens(context.Background(), q)
						require.NoError(b, err)
						require.NotEmpty(b, list)
					}
				})
			}
		})
	}
}

// fill adds tokens behind the back of the stopped service.
func fill(b *testing.B, d *daemon) {
	d.stop()
	cfg, _, err := auth.LoadConfig(d.dir + "/config.toml")
	require.NoError(b, err)
	s, err := stores.Open(b.Context(), d.dir+"/data", cfg.DB)
	require.NoError(b, err)
	at := time.Unix(1_700_000_000, 0).UTC()
	for i := 0; i < 100_000; i += 1000 {
		rs := make([]auth.Record, 1000)
		for j := range rs {
			rs[j] = auth.Record{ID: fmt.Sprintf("%032x", i+j), Name: fmt.Sprint("name-", i+j), Perm: api.PermRead, CreatedAt: at.Add(time.Duration(i+j) * time.Second)}
		}
		require.NoError(b, s.Put(b.Context(), auth.Entry{}, rs...))
	}
	require.NoError(b, s.Close())
	*d = *start(b, d.dir)
}

// startWith starts a service on a kind of database.
func startWith(b *testing.B, dir, kind string) *daemon {
	d := start(b, dir)
	if kind == auth.MySQL {
		d.stop()
		setDSN(b, dir+"/config.toml", mariadb.Database(b))
		require.NoError(b, auth.SetDBType(dir+"/config.toml", auth.MySQL))
		d = start(b, dir)
	}
	return d
}
