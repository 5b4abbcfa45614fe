package bus

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/worker"
)

// Login is how to reach and open a NATS cluster. At most one of User, Token,
// Credentials and NKey is set. Its secrets are in no error and no log.
type Login struct {
	URLs           []string
	User, Password string
	Token          string
	Credentials    string // the content of a .creds file
	NKey           string // the seed of an nkey
	// CA are certificate authorities in PEM; "" are the system's.
	CA string
	// Cert and Key are files of a client certificate, for clusters that want one.
	Cert, Key string
}

// Files are the files and names of a Login: secrets stand in files of their own,
// never in a configuration or on a command line.
type Files struct {
	User, PasswordFile, TokenFile, CredentialsFile, NKeyFile, CAFile, CertFile, KeyFile string
}

// Read reads the files. What is wrong with one is told with its name before what
// named calls the setting.
func (f Files) Read(named func(setting string) string) (Login, error) {
	l := Login{User: f.User, Cert: f.CertFile, Key: f.KeyFile}
	ways := []string{}
	for _, x := range []struct {
		setting, file string
		opens         bool
		into          *string
	}{
		{"PasswordFile", f.PasswordFile, true, &l.Password}, {"TokenFile", f.TokenFile, true, &l.Token},
		{"CredentialsFile", f.CredentialsFile, true, &l.Credentials}, {"NKeyFile", f.NKeyFile, true, &l.NKey}, {"CAFile", f.CAFile, false, &l.CA},
	} {
		if x.file == "" {
			continue
		}
		if x.opens {
			ways = append(ways, named(x.setting))
		}
		b, err := os.ReadFile(x.file)
		if err != nil {
			return l, fmt.Errorf("%s: %w", named(x.setting), err)
		}
		if *x.into = strings.TrimSpace(string(b)); *x.into == "" {
			return l, fmt.Errorf("%s: %s is empty", named(x.setting), x.file)
		}
		if err := wellFormed(x.setting, b); err != nil {
			return l, fmt.Errorf("%s: %s: %w", named(x.setting), x.file, err)
		}
	}
	switch {
	case len(ways) > 1:
		return l, fmt.Errorf("%s: a cluster is opened in one way, leave the others out", strings.Join(ways, " and "))
	case (f.User == "") != (f.PasswordFile == ""):
		return l, fmt.Errorf("%s and %s belong together", named("User"), named("PasswordFile"))
	case (f.CertFile == "") != (f.KeyFile == ""):
		return l, fmt.Errorf("%s and %s belong together", named("CertFile"), named("KeyFile"))
	}
	if l.Cert != "" {
		if _, err := tls.LoadX509KeyPair(l.Cert, l.Key); err != nil {
			return l, fmt.Errorf("%s and %s: %w", named("CertFile"), named("KeyFile"), err)
		}
	}
	return l, nil
}

// wellFormed refuses a file that holds something else. It quotes nothing: the
// file may hold another secret.
func wellFormed(setting string, b []byte) error {
	switch setting {
	case "CredentialsFile":
		if _, err := nkeys.ParseDecoratedJWT(b); err != nil {
			return errors.New("this is no .creds file: it lacks a JWT between BEGIN and END lines")
		}
		if kp, err := nkeys.ParseDecoratedNKey(b); err != nil {
			return errors.New("this is no .creds file: it lacks the seed of a user")
		} else {
			kp.Wipe()
		}
	case "NKeyFile":
		kp, err := seedOf(b)
		if err != nil {
			return errors.New("this is no seed of a NATS user, which begins with SU (nk -gen user)")
		}
		kp.Wipe()
	case "CAFile":
		if !x509.NewCertPool().AppendCertsFromPEM(b) {
			return errors.New("there is no certificate in PEM form")
		}
	}
	return nil
}

// seedOf reads the seed of a user, with BEGIN and END lines or without.
func seedOf(b []byte) (nkeys.KeyPair, error) {
	b = bytes.TrimSpace(b)
	if bytes.HasPrefix(b, []byte("SU")) {
		return nkeys.FromSeed(b)
	}
	return nkeys.ParseDecoratedNKey(b)
}

// Over is the login that a sealer told of, with what is set here instead.
func (l Login) Over(w worker.Welcome) Login {
	out := Login{URLs: w.URLs, User: w.User, Password: w.Password, Token: w.Token, Credentials: w.Credentials, NKey: w.NKey, CA: w.CA, Cert: l.Cert, Key: l.Key}
	if l.User+l.Token+l.Credentials+l.NKey != "" {
		out.User, out.Password, out.Token, out.Credentials, out.NKey = l.User, l.Password, l.Token, l.Credentials, l.NKey
	}
	if l.CA != "" {
		out.CA = l.CA
	}
	return out
}

// options opens connections with this login.
func (l Login) options() ([]nats.Option, error) {
	if err := checkURLs(l.URLs); err != nil {
		return nil, err
	}
	var opts []nats.Option
	switch {
	case l.User != "":
		opts = append(opts, nats.UserInfo(l.User, l.Password))
	case l.Token != "":
		opts = append(opts, nats.Token(l.Token))
	case l.Credentials != "":
		opts = append(opts, nats.UserCredentialBytes([]byte(l.Credentials)))
	case l.NKey != "":
		kp, err := seedOf([]byte(l.NKey))
		if err != nil {
			return nil, errors.New("the nkey of the NATS cluster is no seed of a user")
		}
		public, err := kp.PublicKey()
		if err != nil {
			return nil, errors.New("the nkey of the NATS cluster has no public key")
		}
		opts = append(opts, nats.Nkey(public, kp.Sign))
	}
	if l.CA != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(l.CA)) {
			return nil, errors.New("the certificate authorities of the NATS cluster are not in PEM form")
		}
		opts = append(opts, nats.Secure(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}))
	}
	if l.Cert != "" {
		opts = append(opts, nats.ClientCert(l.Cert, l.Key))
	}
	return opts, nil
}

// checkURLs refuses what would show a secret wherever an address is shown.
func checkURLs(list []string) error {
	for i, text := range list {
		u, err := url.Parse(text)
		if err != nil { // its text quotes the URL
			return api.Errorf(api.CodeInvalid, "the NATS server number %d in the list has no valid URL", i+1).WithHint("write tls://HOST:4222")
		}
		if u.User != nil {
			return api.Errorf(api.CodeInvalid, "the URL of the NATS server %s holds a secret", u.Host).
				WithHint("leave out what is before the @; name the secret's file with Workers.PasswordFile or Workers.TokenFile")
		}
	}
	return nil
}

// explain tells what a refused connection means and what to do about it. Other
// errors, such as a server that is away, come back as they are: time may help.
func explain(err error) error {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		remote  *net.OpError
	)
	refused := func(what, hint string) error {
		return api.Errorf(api.CodeUnauthenticated, "%s: %w", what, err).WithHint("%s", hint)
	}
	switch {
	case errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAccountAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
		return refused("the NATS cluster takes these credentials no more", "get new ones from who runs the cluster; workers get them when they start again")
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrNkeysNotSupported):
		return refused("the NATS cluster refuses these credentials",
			"correct what Workers.User, PasswordFile, TokenFile, CredentialsFile or NKeyFile of the sealer name, or the --nats flags of the worker")
	case errors.As(err, &unknown):
		return refused("the certificate of the NATS cluster is signed by nobody who is trusted here",
			"name the file of its certificate authority with Workers.CAFile of the sealer, or --nats-ca of the worker")
	case errors.As(err, &name):
		return refused("the certificate of the NATS cluster is for other names", "put one of its names into the URLs of Workers.NATS")
	case errors.As(err, &invalid):
		return refused("the certificate of the NATS cluster is not valid", "have it renewed, or set the clock of this machine right")
	case errors.Is(err, nats.ErrSecureConnWanted):
		return refused("the NATS cluster offers no TLS", "have TLS switched on there; without it, use nats:// in Workers.NATS and no CAFile, which lets the network read along")
	case errors.As(err, &remote) && remote.Op == "remote error", errors.Is(err, nats.ErrTLS): // an alert, or closed before it came through
		return refused("the NATS cluster refuses the certificate of this program",
			"name one that it trusts with Workers.CertFile and KeyFile of the sealer, and --nats-cert and --nats-key of the worker")
	}
	return err
}

// Refused tells an error that no waiting helps against.
func Refused(err error) bool {
	return err != nil && api.Explain(err).Code == api.CodeUnauthenticated
}

// Trouble tells why there is no connection, nil when there is one or nothing is
// known.
func Trouble(conn *nats.Conn) error {
	if conn.IsConnected() {
		return nil
	}
	err := explain(conn.LastError())
	if Refused(err) {
		return fmt.Errorf("%w; %s", err, api.Explain(err).Hint)
	}
	return err
}
