package bus_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/worker"
	"github.com/filecoin-venus/venus/worker/bus"
	"github.com/filecoin-venus/venus/worker/bus/bustest"
)

func file(t *testing.T, text string) string {
	name := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

func plain(setting string) string { return setting }

// read reads files that are in order.
func read(t *testing.T, f bus.Files) bus.Login {
	l, err := f.Read(plain)
	require.NoError(t, err)
	return l
}

// told is what a sealer with a login tells its workers.
func told(l bus.Login, port int) worker.Welcome {
	return worker.Welcome{
		Bus: "test", URLs: []string{fmt.Sprintf("tls://127.0.0.1:%d", port)},
		User: l.User, Password: l.Password, Token: l.Token, Credentials: l.Credentials, NKey: l.NKey, CA: l.CA,
	}
}

// way is a way to open a cluster: the server's side, the client's, and a client
// that is not let in.
type way struct {
	server       server.Options
	right, wrong bus.Files
}

func ways(t *testing.T) map[string]way {
	user, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := user.PublicKey()
	require.NoError(t, err)
	seed, err := user.Seed()
	require.NoError(t, err)
	other, err := nkeys.CreateUser()
	require.NoError(t, err)
	otherSeed, err := other.Seed()
	require.NoError(t, err)
	operated, creds, otherCreds := operator(t)
	return map[string]way{
		"password": {
			server.Options{Users: []*server.User{{Username: "venus", Password: "right-canary"}}},
			bus.Files{User: "venus", PasswordFile: file(t, "right-canary\n")}, bus.Files{User: "venus", PasswordFile: file(t, "wrong-canary")},
		},
		"token": {server.Options{Authorization: "right-canary"}, bus.Files{TokenFile: file(t, "right-canary\n")}, bus.Files{TokenFile: file(t, "wrong-canary")}},
		"nkey": {
			server.Options{Nkeys: []*server.NkeyUser{{Nkey: public}}},
			bus.Files{NKeyFile: file(t, string(seed)+"\n")}, bus.Files{NKeyFile: file(t, string(otherSeed))},
		},
		"creds": {operated, bus.Files{CredentialsFile: file(t, creds)}, bus.Files{CredentialsFile: file(t, otherCreds)}},
	}
}

// operator is a server that trusts an operator, with credentials of its account
// and of somebody else's.
func operator(t *testing.T) (o server.Options, creds, other string) {
	pair := func(make func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
		kp, err := make()
		require.NoError(t, err)
		public, err := kp.PublicKey()
		require.NoError(t, err)
		return kp, public
	}
	op, opPublic := pair(nkeys.CreateOperator)
	claims := jwt.NewOperatorClaims(opPublic)
	text, err := claims.Encode(op)
	require.NoError(t, err)
	trusted, err := jwt.DecodeOperatorClaims(text)
	require.NoError(t, err)
	account := func(signer nkeys.KeyPair) (public, text, creds string) {
		kp, public := pair(nkeys.CreateAccount)
		text, err := jwt.NewAccountClaims(public).Encode(signer)
		require.NoError(t, err)
		user, userPublic := pair(nkeys.CreateUser)
		userText, err := jwt.NewUserClaims(userPublic).Encode(kp)
		require.NoError(t, err)
		seed, err := user.Seed()
		require.NoError(t, err)
		b, err := jwt.FormatUserConfig(userText, seed)
		require.NoError(t, err)
		return public, text, string(b)
	}
	resolver := &server.MemAccResolver{}
	public, text, creds := account(op)
	require.NoError(t, resolver.Store(public, text))
	_, _, other = account(op)
	return server.Options{TrustedOperators: []*jwt.OperatorClaims{trusted}, AccountResolver: resolver}, creds, other
}

// TestLogins opens a cluster with TLS in every way, is refused with the wrong
// secret, and finds neither secret in any text.
func TestLogins(t *testing.T) {
	authority := bustest.NewAuthority(t)
	for name, w := range ways(t) {
		t.Run(name, func(t *testing.T) {
			var logs strings.Builder
			end := bustest.Listen(t, func(line string) { logs.WriteString(line) })
			w.server.TLSConfig = authority.TLS("127.0.0.1", time.Now().Add(time.Hour))
			port, _ := bustest.Serve(t, w.server)
			w.right.CAFile, w.wrong.CAFile = authority.File(), authority.File()
			right, wrong := read(t, w.right), read(t, w.wrong)
			conn, err := bus.Connect(told(right, port), "", "", "test", bus.Login{})
			require.NoError(t, err)
			require.True(t, conn.IsConnected())
			require.NoError(t, bus.Trouble(conn))
			conn.Close()
			own, err := bus.Connect(told(wrong, port), "", "", "test", right)
			require.NoError(t, err, "what a worker has of its own comes first")
			own.Close()

			_, err = bus.Connect(told(wrong, port), "", "", "test", bus.Login{})
			require.True(t, bus.Refused(err), "%v", err)
			require.ErrorContains(t, err, "refuses these credentials")
			require.Contains(t, api.Explain(err).Hint, "Workers.User")
			_, err = bus.Connect(told(bus.Login{CA: right.CA}, port), "", "", "test", bus.Login{})
			require.True(t, bus.Refused(err), "without credentials: %v", err)

			// The sealer's end goes on trying, and can tell why.
			waiting, err := bus.ConnectCluster(wrongAt(wrong, port), bus.Options("test")...)
			require.NoError(t, err)
			defer waiting.Close()
			var trouble error
			require.Eventually(t, func() bool {
				trouble = bus.Trouble(waiting)
				return bus.Refused(trouble)
			}, time.Minute, 10*time.Millisecond)
			waiting.Close()
			end()
			text := logs.String() + fmt.Sprint(err, trouble, api.Explain(trouble).Hint)
			for _, l := range []bus.Login{right, wrong} {
				for _, secret := range []string{l.Password, l.Token, l.NKey, l.Credentials} {
					require.False(t, secret != "" && strings.Contains(text, secret), "a secret shows in %s", text)
				}
			}
			require.NotContains(t, text, "canary")
		})
	}
}

func wrongAt(l bus.Login, port int) bus.Login {
	l.URLs = told(l, port).URLs
	return l
}

// TestCertificates meets servers that cannot be trusted, and one that does not
// trust its client.
func TestCertificates(t *testing.T) {
	authority, later := bustest.NewAuthority(t), time.Now().Add(time.Hour)
	mutual := authority.TLS("127.0.0.1", later)
	mutual.ClientAuth = tls.RequireAndVerifyClientCert
	cert, key := authority.Sign("worker", later)
	strangerCert, strangerKey := bustest.NewAuthority(t).Sign("worker", later)
	for name, c := range map[string]struct {
		server *tls.Config
		client bus.Files
		want   string // "" = let in
		hint   string
	}{
		"unknown authority": {authority.TLS("127.0.0.1", later), bus.Files{}, "signed by nobody who is trusted here", "--nats-ca"},
		"another authority": {authority.TLS("127.0.0.1", later), bus.Files{CAFile: bustest.NewAuthority(t).File()}, "signed by nobody who is trusted here", "Workers.CAFile"},
		"another name":      {authority.TLS("n7.example", later), bus.Files{CAFile: authority.File()}, "for other names", "Workers.NATS"},
		"expired":           {authority.TLS("127.0.0.1", time.Now().Add(-time.Hour)), bus.Files{CAFile: authority.File()}, "is not valid", "renewed"},
		"no TLS":            {nil, bus.Files{CAFile: authority.File()}, "offers no TLS", "nats://"},
		"no certificate":    {mutual, bus.Files{CAFile: authority.File()}, "refuses the certificate of this program", "--nats-cert"},
		"bad certificate":   {mutual, bus.Files{CAFile: authority.File(), CertFile: strangerCert, KeyFile: strangerKey}, "refuses the certificate of this program", "--nats-cert"},
		"certificate":       {mutual, bus.Files{CAFile: authority.File(), CertFile: cert, KeyFile: key}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			port, _ := bustest.Serve(t, server.Options{TLSConfig: c.server, TLS: c.server != nil, TLSVerify: c.server == mutual})
			l := read(t, c.client)
			conn, err := bus.Connect(told(l, port), "", "", "test", l)
			if c.want == "" {
				require.NoError(t, err)
				conn.Close()
				return
			}
			require.True(t, bus.Refused(err), "%v", err)
			require.ErrorContains(t, err, c.want)
			require.Contains(t, api.Explain(err).Hint, c.hint)
		})
	}
}

// TestCredentialsAreWithdrawn changes the password under an open connection, and
// puts it right again: the connection comes back by itself.
func TestCredentialsAreWithdrawn(t *testing.T) {
	with := func(password string, port int) server.Options {
		return server.Options{Port: port, Users: []*server.User{{Username: "venus", Password: password}}}
	}
	port, stop := bustest.Serve(t, with("old", 0))
	url := fmt.Sprintf("nats://127.0.0.1:%d", port)
	conn, err := bus.Connect(worker.Welcome{URLs: []string{url}, User: "venus", Password: "old"}, "", "", "test", bus.Login{})
	require.NoError(t, err)
	defer conn.Close()
	stop()
	_, stop = bustest.Serve(t, with("new", port))
	tries := conn.Stats().Reconnects
	require.Eventually(t, func() bool { return conn.Stats().Reconnects > tries+2 && bus.Refused(bus.Trouble(conn)) }, time.Minute, 10*time.Millisecond)
	require.ErrorContains(t, bus.Trouble(conn), "Workers.User", "what to do stands in the text that is logged")
	stop()
	bustest.Serve(t, with("old", port))
	require.Eventually(t, conn.IsConnected, time.Minute, 10*time.Millisecond)
}

// TestAwayIsNotRefused: a cluster that is down does not end a worker.
func TestAwayIsNotRefused(t *testing.T) {
	port, stop := bustest.Serve(t, server.Options{})
	stop()
	conn, err := bus.Connect(worker.Welcome{URLs: []string{fmt.Sprintf("nats://127.0.0.1:%d", port)}}, "", "", "test", bus.Login{})
	require.NoError(t, err)
	defer conn.Close()
	require.False(t, bus.Refused(bus.Trouble(conn)))
	bustest.Serve(t, server.Options{Port: port})
	require.Eventually(t, conn.IsConnected, time.Minute, 10*time.Millisecond)
}

// TestFiles gives files that hold something else, and settings that contradict
// each other. The error names the setting and shows nothing of the file.
func TestFiles(t *testing.T) {
	authority := bustest.NewAuthority(t)
	cert, key := authority.Sign("a", time.Now().Add(time.Hour))
	other, _ := authority.Sign("b", time.Now().Add(time.Hour))
	secret := file(t, "canary")
	for want, f := range map[string]bus.Files{
		"TokenFile: open":                   {TokenFile: filepath.Join(t.TempDir(), "none")},
		"is empty":                          {TokenFile: file(t, "\n")},
		"TokenFile and CredentialsFile":     {TokenFile: secret, CredentialsFile: file(t, realCreds(t))},
		"CredentialsFile: ":                 {CredentialsFile: secret},
		"NKeyFile: ":                        {NKeyFile: secret},
		"no certificate in PEM form":        {CAFile: secret},
		"User and PasswordFile belong":      {User: "venus"},
		"CertFile and KeyFile belong":       {CertFile: cert},
		"private key does not match public": {CertFile: other, KeyFile: key},
	} {
		_, err := f.Read(plain)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "canary")
	}
	for _, url := range []string{"tls://venus:canary@n1:4222", "tls://canary@n1:4222", "tls://canary%zz@n1"} {
		_, err := bus.ConnectCluster(bus.Login{URLs: []string{url}}, bus.Options("test")...)
		require.Equal(t, api.CodeInvalid, api.Explain(err).Code)
		require.NotContains(t, fmt.Sprint(err, api.Explain(err).Hint), "canary")
	}
	require.False(t, bus.Refused(nil))
	require.False(t, bus.Refused(errors.Join(nats.ErrNoServers)))
}

func realCreds(t *testing.T) string {
	_, creds, _ := operator(t)
	return creds
}
