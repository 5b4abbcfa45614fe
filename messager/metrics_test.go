package messager

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/messager/machine"
)

func (r *rig) scrape() string {
	srv := httptest.NewServer(r.meters.handler())
	defer srv.Close()
	resp, err := http.Get(srv.URL)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	require.Equal(r.t, http.StatusOK, resp.StatusCode, string(raw))
	http.DefaultClient.CloseIdleConnections()
	return string(raw)
}

func TestMetrics(t *testing.T) {
	r := newRig(t)
	r.node.failMethod[66] = "exit 16"
	landed := r.push("", r.addr, 16)
	r.push("", r.addr, 66)
	require.NoError(t, r.drain(r.addr))
	r.step()
	r.step()
	require.Equal(t, machine.OnChain, r.get(landed).State)
	r.clk.Advance(time.Minute)
	text := r.scrape()
	for _, want := range []string{
		`venus_messager_queued{lane="normal"} 1`, `venus_messager_queued{lane="proof"} 0`, `venus_messager_queue_age_seconds{lane="normal"} 62`,
		`venus_messager_underway 0`, `venus_messager_stuck{state="queued"} 1`, `venus_messager_stuck{state="underway"} 0`,
		`venus_messager_events_total{event="included"} 1`, `venus_messager_events_total{event="queued"} 2`, `venus_messager_events_total{event="estimate failed"} 1`,
		`venus_messager_spent_fil_total{from="` + r.addr.String() + `",method="16"} `, `venus_messager_leases 2`, `venus_messager_head_age_seconds 60`,
	} {
		require.Contains(t, text, want)
	}
	require.NotContains(t, text, `method="16"} 0`+"\n", "what it cost is above zero")
	require.Equal(t, 1, strings.Count(text, "venus_messager_spent_fil_total{"))
}
