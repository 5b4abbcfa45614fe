package beacon

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/params"
)

// FromNetwork builds the schedule of a network whose genesis block has the given timestamp (unix seconds). Servers given
// here replace those of the network's newest beacon.
func FromNetwork(net *params.Network, genesisTime uint64, servers []string, clk clock.Clock) (Schedule, error) {
	if len(net.Beacons) == 0 {
		return nil, fmt.Errorf("network %s names no beacon; a private network gets one with its genesis", net.Name)
	}
	timing := Timing{GenesisTime: genesisTime, BlockDelay: net.BlockDelay}
	var points []Point
	for i, b := range net.Beacons {
		info, err := InfoOf(b)
		if err != nil {
			return nil, fmt.Errorf("beacon %d of network %s: %w", i, net.Name, err)
		}
		from := b.Servers
		if i == len(net.Beacons)-1 && len(servers) > 0 {
			from = servers
		}
		source, err := NewClient(info, timing, from, clk)
		if err != nil {
			return nil, fmt.Errorf("beacon %d of network %s: %w", i, net.Name, err)
		}
		points = append(points, Point{Start: b.Start, Source: source})
	}
	return NewSchedule(points...)
}

// InfoOf reads the identity of a beacon from network parameters. They carry the chain's hash instead of its seed.
func InfoOf(b params.Beacon) (Info, error) {
	key, err := hex.DecodeString(b.PublicKey)
	if err != nil {
		return Info{}, fmt.Errorf("public key: %w", err)
	}
	hash, err := hex.DecodeString(b.ChainHash)
	if err != nil {
		return Info{}, fmt.Errorf("chain hash: %w", err)
	}
	if len(hash) != 0 && len(hash) != hashSize {
		return Info{}, errors.New("chain hash does not have 32 bytes")
	}
	info := Info{PublicKey: key, Period: b.Period, GenesisTime: b.GenesisTime, SchemeID: string(b.Scheme), knownHash: string(hash)}
	return info, info.Check()
}

// Params writes the identity of a beacon into network parameters.
func (i Info) Params(servers ...string) params.Beacon {
	scheme := i.SchemeID
	if scheme == "" {
		scheme = SchemeChained
	}
	return params.Beacon{
		Scheme: params.BeaconScheme(scheme), PublicKey: hex.EncodeToString(i.PublicKey), ChainHash: i.HashHex(),
		GenesisTime: i.GenesisTime, Period: i.Period, Servers: servers,
	}
}
