package beacon

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// defaultID is the beacon name that leaves no trace in a chain's hash.
const defaultID = "default"

// Info identifies a drand chain. Its hash covers every field but the scheme.
type Info struct {
	// PublicKey is the compressed group key: 48 bytes where signatures live on G2, 96 where they live on G1.
	PublicKey []byte
	// Period is the time between rounds, whole seconds.
	Period time.Duration
	// GenesisTime is when round 1 is due, in seconds since 1970.
	GenesisTime int64
	// Seed is the group hash the chain began from: the previous signature of round 1 in a chained scheme.
	Seed []byte
	// SchemeID names the signature scheme; empty means chained.
	SchemeID string
	// BeaconID is the chain's name on servers that carry several; empty and "default" are the same.
	BeaconID string

	// knownHash stands in for the computed hash where the seed is not at hand.
	knownHash string
}

const hashSize = sha256.Size

// Hash is drand's identity of the chain, 32 bytes.
func (i Info) Hash() []byte {
	if i.knownHash != "" {
		return []byte(i.knownHash)
	}
	h := sha256.New()
	var n4 [4]byte
	var n8 [8]byte
	binary.BigEndian.PutUint32(n4[:], uint32(i.Period/time.Second))
	binary.BigEndian.PutUint64(n8[:], uint64(i.GenesisTime))
	h.Write(n4[:])
	h.Write(n8[:])
	h.Write(i.PublicKey)
	h.Write(i.Seed)
	if i.BeaconID != "" && i.BeaconID != defaultID {
		h.Write([]byte(i.BeaconID))
	}
	return h.Sum(nil)
}

// HashHex is Hash in lower-case hex, the form URLs carry.
func (i Info) HashHex() string { return hex.EncodeToString(i.Hash()) }

// Scheme returns the signature scheme.
func (i Info) Scheme() (Scheme, error) { return SchemeByID(i.SchemeID) }

// Check refuses an info that no beacon can have.
func (i Info) Check() error {
	scheme, err := i.Scheme()
	if err != nil {
		return err
	}
	if len(i.PublicKey) != scheme.PublicKeySize() {
		return fmt.Errorf("beacon public key has %d bytes, scheme %s needs %d", len(i.PublicKey), scheme.ID(), scheme.PublicKeySize())
	}
	if i.Period < time.Second || i.Period%time.Second != 0 {
		return fmt.Errorf("beacon period %s is not a positive number of whole seconds", i.Period)
	}
	if i.GenesisTime <= 0 {
		return errors.New("beacon genesis time is missing")
	}
	return nil
}

// RoundAt is the newest round due at t; 0 before the first.
func (i Info) RoundAt(t time.Time) uint64 {
	since := t.Unix() - i.GenesisTime
	if since < 0 {
		return 0
	}
	return uint64(since)/uint64(i.Period/time.Second) + 1
}

// DueAt is the moment a round is due. Round 0 is the seed, due with round 1.
func (i Info) DueAt(round uint64) time.Time {
	if round == 0 {
		round = 1
	}
	return time.Unix(i.GenesisTime+int64(round-1)*int64(i.Period/time.Second), 0)
}

// infoJSON is the shape of drand's HTTP /info answer.
type infoJSON struct {
	PublicKey   string        `json:"public_key"`
	Period      int64         `json:"period"`
	GenesisTime int64         `json:"genesis_time"`
	Hash        string        `json:"hash"`
	GroupHash   string        `json:"groupHash"`
	SchemeID    string        `json:"schemeID"`
	Metadata    *infoMetaJSON `json:"metadata,omitempty"`
}

type infoMetaJSON struct {
	BeaconID string `json:"beaconID"`
}

// MarshalJSON writes the shape of drand's /info.
func (i Info) MarshalJSON() ([]byte, error) {
	scheme, err := i.Scheme()
	if err != nil {
		return nil, err
	}
	id := i.BeaconID
	if id == "" {
		id = defaultID
	}
	return json.Marshal(infoJSON{
		PublicKey: hex.EncodeToString(i.PublicKey), Period: int64(i.Period / time.Second), GenesisTime: i.GenesisTime,
		Hash: i.HashHex(), GroupHash: hex.EncodeToString(i.Seed), SchemeID: scheme.ID(), Metadata: &infoMetaJSON{BeaconID: id},
	})
}

// UnmarshalJSON reads drand's /info and refuses one whose hash is not its own.
func (i *Info) UnmarshalJSON(b []byte) error {
	var w infoJSON
	if err := json.Unmarshal(b, &w); err != nil {
		return fmt.Errorf("beacon info: %w", err)
	}
	key, err := hex.DecodeString(w.PublicKey)
	if err != nil {
		return fmt.Errorf("beacon info: public key: %w", err)
	}
	seed, err := hex.DecodeString(w.GroupHash)
	if err != nil {
		return fmt.Errorf("beacon info: group hash: %w", err)
	}
	if w.Period <= 0 || w.Period > 1<<31 {
		return fmt.Errorf("beacon info: period of %d seconds", w.Period)
	}
	out := Info{PublicKey: key, Period: time.Duration(w.Period) * time.Second, GenesisTime: w.GenesisTime, Seed: seed, SchemeID: w.SchemeID}
	if w.Metadata != nil && w.Metadata.BeaconID != defaultID {
		out.BeaconID = w.Metadata.BeaconID
	}
	if err := out.Check(); err != nil {
		return fmt.Errorf("beacon info: %w", err)
	}
	if w.Hash != "" && w.Hash != out.HashHex() {
		return fmt.Errorf("beacon info: hash %s does not belong to its fields (%s)", w.Hash, out.HashHex())
	}
	*i = out
	return nil
}
