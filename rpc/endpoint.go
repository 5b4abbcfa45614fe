package rpc

import (
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/filecoin-venus/venus/api"
)

// DefaultPath is where a service listens unless the endpoint says otherwise.
const DefaultPath = "/rpc/v0"

var hostForm = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$`)

var tokenForm = regexp.MustCompile(`[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+`)

// ParseEndpoint turns any form of a service's address into the URL that calls
// go to. Accepted: a multiaddr with tcp and an optional http, https, ws or wss
// (/ip4/1.2.3.4/tcp/3453, /dns/node/tcp/3453/http), a URL with or without a
// path, and host:port. A path that is missing becomes defaultPath ("" =
// DefaultPath); an unspecified address becomes loopback.
func ParseEndpoint(s, defaultPath string) (string, error) {
	s = strings.TrimSpace(s)
	if defaultPath == "" {
		defaultPath = DefaultPath
	}
	var scheme, host, path string
	var err error
	switch {
	case strings.HasPrefix(s, "/"):
		scheme, host, err = fromMultiaddr(s)
	case strings.Contains(s, "://"):
		scheme, host, path, err = fromURL(s)
	default:
		scheme = "http"
		_, _, err = net.SplitHostPort(s)
		host = s
	}
	if err != nil || !validHost(host) {
		return "", api.Errorf(api.CodeInvalid, "%q is no address of a service", s).
			WithHint("write /ip4/1.2.3.4/tcp/3453, http://1.2.3.4:3453/rpc/v0 or 1.2.3.4:3453")
	}
	if path == "" || path == "/" {
		path = defaultPath
	}
	return (&url.URL{Scheme: scheme, Host: specified(host), Path: path}).String(), nil
}

var errForm = api.Errorf(api.CodeInvalid, "not an address")

func fromMultiaddr(s string) (scheme, host string, err error) {
	p := strings.Split(strings.TrimSuffix(s[1:], "/"), "/")
	if len(p) < 4 || p[2] != "tcp" {
		return "", "", errForm
	}
	ip := net.ParseIP(p[1])
	switch p[0] {
	case "ip4":
		if ip == nil || ip.To4() == nil {
			return "", "", errForm
		}
	case "ip6":
		if ip == nil || ip.To4() != nil {
			return "", "", errForm
		}
	case "dns", "dns4", "dns6":
	default:
		return "", "", errForm
	}
	scheme = "http"
	switch rest := strings.Join(p[4:], "/"); rest {
	case "", "http", "ws":
	case "https", "wss", "tls/http", "tls/ws":
		scheme = "https"
	default:
		return "", "", errForm
	}
	return scheme, net.JoinHostPort(p[1], p[3]), nil
}

func fromURL(s string) (scheme, host, path string, err error) {
	u, err := url.Parse(s)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", "", "", errForm
	}
	switch u.Scheme {
	case "http", "ws":
		scheme = "http"
	case "https", "wss":
		scheme = "https"
	default:
		return "", "", "", errForm
	}
	host = u.Host
	if u.Port() == "" {
		port := map[string]string{"http": "80", "https": "443"}[scheme]
		host = net.JoinHostPort(u.Hostname(), port)
	}
	return scheme, host, u.Path, nil
}

func validHost(hostport string) bool {
	h, port, err := net.SplitHostPort(hostport)
	if err != nil || (net.ParseIP(h) == nil && !hostForm.MatchString(h)) {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// specified replaces "all interfaces", which can be listened on but not dialled.
func specified(hostport string) string {
	h, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return hostport
	}
	if ip := net.ParseIP(h); ip != nil && ip.IsUnspecified() {
		h = "127.0.0.1"
		if ip.To4() == nil {
			h = "::1"
		}
	}
	return net.JoinHostPort(h, port)
}

// ListenAddress turns a multiaddr or host:port into what net.Listen takes.
func ListenAddress(s string) (string, error) {
	if !strings.HasPrefix(s, "/") {
		if _, _, err := net.SplitHostPort(s); err != nil {
			return "", api.Errorf(api.CodeInvalid, "%q is no address to listen on", s).WithHint("write /ip4/127.0.0.1/tcp/3453")
		}
		return s, nil
	}
	_, host, err := fromMultiaddr(s)
	if err != nil {
		return "", api.Errorf(api.CodeInvalid, "%q is no address to listen on", s).WithHint("write /ip4/127.0.0.1/tcp/3453")
	}
	return host, nil
}

// Multiaddr writes a listener's address in the form that is kept in the file api.
func Multiaddr(a net.Addr) string {
	h, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	kind := "ip6"
	switch ip := net.ParseIP(h); {
	case ip != nil && ip.IsUnspecified():
		kind, h = "ip4", "0.0.0.0" // Go shows all interfaces as [::] whatever was asked for
	case ip != nil && ip.To4() != nil:
		kind = "ip4"
	}
	return "/" + kind + "/" + h + "/tcp/" + port
}

// CleanToken accepts a bare token and the "TOKEN:ADDRESS" that `auth api-info`
// prints, and returns the token.
func CleanToken(s string) string {
	s = strings.TrimSpace(s)
	if t := tokenForm.FindString(s); t != "" && strings.HasPrefix(s, t) {
		return t
	}
	return s
}
