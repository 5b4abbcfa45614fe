package p2p

import "net"

// privateNets are loopback and private ranges.
func privateNets() []*net.IPNet {
	var out []*net.IPNet
	for _, s := range []string{"127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"} {
		_, n, err := net.ParseCIDR(s)
		if err != nil {
			panic(err) // constant input
		}
		out = append(out, n)
	}
	return out
}
