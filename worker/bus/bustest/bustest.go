// Package bustest makes certificates and starts NATS servers for tests of what
// connects to a cluster.
//
// Start at NewAuthority and Serve.
package bustest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	logging "github.com/ipfs/go-log/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
)

// Authority signs certificates.
type Authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority that nobody trusts yet.
func NewAuthority(t *testing.T) *Authority {
	a := &Authority{t: t}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	own := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<35, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, own, own, &a.key.PublicKey, a.key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	return a
}

// File writes the authority's own certificate.
func (a *Authority) File() string {
	return write(a.t, "ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

// Pool trusts the authority.
func (a *Authority) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// Sign writes a certificate for a server at name or a client, and its key.
func (a *Authority) Sign(name string, until time.Time) (certFile, keyFile string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Unix(0, 0), NotAfter: until, DNSNames: []string{name},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		c.IPAddresses = []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	require.NoError(a.t, err)
	raw, err := x509.MarshalECPrivateKey(key)
	require.NoError(a.t, err)
	return write(a.t, "cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		write(a.t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw}))
}

// TLS is a server's side with a certificate for name.
func (a *Authority) TLS(name string, until time.Time) *tls.Config {
	cert, err := tls.LoadX509KeyPair(a.Sign(name, until))
	require.NoError(a.t, err)
	return &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: a.Pool(), MinVersion: tls.VersionTLS12}
}

func write(t *testing.T, name string, b []byte) string {
	file := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(file, b, 0o600))
	return file
}

// Listen gives every line that is logged at any level to hear, until the test or
// end ends.
func Listen(t *testing.T, hear func(line string)) (end func()) {
	before := logging.GetConfig()
	logging.SetAllLoggers(logging.LevelDebug)
	r := logging.NewPipeReader(logging.PipeLevel(logging.LevelDebug))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(r); lines.Scan(); { // ends with Close
			hear(lines.Text())
		}
	}()
	end = sync.OnceFunc(func() {
		_ = r.Close() // it never fails
		<-done
		logging.SetupLogging(before)
	})
	t.Cleanup(end)
	return end
}

// Serve runs a server on the loopback until the test or stop ends; o.Port 0 is
// any free port.
func Serve(t *testing.T, o server.Options) (port int, stop func()) {
	o.Host, o.NoSigs, o.NoLog = "127.0.0.1", true, true
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	s, err := server.NewServer(&o)
	require.NoError(t, err)
	s.Start()
	stop = func() {
		s.Shutdown()
		s.WaitForShutdown()
	}
	t.Cleanup(stop)
	require.True(t, s.ReadyForConnections(time.Minute))
	return s.Addr().(*net.TCPAddr).Port, stop
}
