package mysqlstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	authapi "github.com/filecoin-venus/venus/api/auth"
	"github.com/filecoin-venus/venus/auth"
	"github.com/filecoin-venus/venus/auth/token"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/mariadb"
)

func service(t *testing.T, dsn string, clk clock.Clock) *auth.Service {
	s := open(t, dsn)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	signer, err := token.NewSigner(make([]byte, 32))
	require.NoError(t, err)
	return auth.NewService(s, signer, clk)
}

// TestTwoServicesOnOneDatabase: what one changes the other sees a tenth of a second later.
func TestTwoServicesOnOneDatabase(t *testing.T) {
	dsn, clk := mariadb.Database(t), clock.NewSim(time.Unix(1_700_000_000, 0))
	a, b := service(t, dsn, clk), service(t, dsn, clk)
	ctx := t.Context()
	r, err := a.Generate(ctx, authapi.GenRequest{Name: "n", Perm: "read"})
	require.NoError(t, err)
	_, err = b.Verify(ctx, r.Token)
	require.NoError(t, err)
	require.NoError(t, a.SetRemoved(ctx, authapi.TokenRef{ID: r.ID}, true))
	_, err = a.Verify(ctx, r.Token)
	require.Error(t, err, "where it was removed at once")
	clk.Advance(100 * time.Millisecond)
	_, err = b.Verify(ctx, r.Token)
	require.Equal(t, api.CodeUnauthenticated, api.Explain(err).Code)
	es, err := b.Audit(ctx, authapi.ListQuery{})
	require.NoError(t, err)
	require.Len(t, es, 2, "one audit log for both")
}

// TestDatabaseSlow: a database that hangs makes questions fail with "unavailable" within its timeout, never with "bad
// token", and nothing stays behind.
func TestDatabaseSlow(t *testing.T) {
	server := mariadb.Start(t)
	clk := clock.NewSim(time.Unix(1_700_000_000, 0))
	// The driver retries a broken connection, so that a question takes a few timeouts.
	dsn := server.Database(t)
	s := service(t, fmt.Sprintf("%s?parseTime=true&timeout=300ms&readTimeout=300ms&writeTimeout=300ms", dsn[:len(dsn)-len("?parseTime=true&loc=Local&readTimeout=10s&writeTimeout=10s")]), clk)
	ctx := t.Context()
	r, err := s.Generate(ctx, authapi.GenRequest{Name: "n", Perm: "read"})
	require.NoError(t, err)
	_, err = s.Verify(ctx, r.Token)
	require.NoError(t, err)
	server.Pause(t)
	clk.Advance(time.Second)
	_, err = s.Verify(ctx, r.Token)
	require.Equal(t, api.CodeUnavailable, api.Explain(err).Code)
	require.Equal(t, api.CodeUnavailable, api.Explain(s.SetRemoved(ctx, authapi.TokenRef{ID: r.ID}, true)).Code)
	server.Resume(t)
	require.Eventually(t, func() bool { _, err := s.Verify(ctx, r.Token); return err == nil }, 30*time.Second, 10*time.Millisecond)
}
