package signlog

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
)

// Decision is what became of a request.
type Decision string

// The decisions. Done is for the making, import, export and deletion of a key.
const (
	Signed  Decision = "signed"
	Refused Decision = "refused"
	Done    Decision = "done"
)

// Block is the part of a record that identifies a mined block. Miner is the address bytes in hex, network-neutral.
type Block struct {
	Miner  string         `json:"miner"`
	Height abi.ChainEpoch `json:"height"`
	Digest string         `json:"digest"` // of the signing bytes
	// Timestamp is the block's own, in unix seconds; 0 in records of older versions.
	Timestamp uint64 `json:"timestamp,omitempty"`
}

// Record is one decision. Addresses are bytes in hex, so that a record means the same on every network.
type Record struct {
	Seq      uint64            `json:"seq"`
	Time     time.Time         `json:"time"`
	Decision Decision          `json:"decision"`
	Signer   string            `json:"signer"`
	Type     string            `json:"type"`
	Digest   string            `json:"digest,omitempty"` // blake2b-256 of the bytes signed, hex
	Facts    map[string]string `json:"facts,omitempty"`  // what a person wants to know: to, value, nonce, height, …
	Reason   string            `json:"reason,omitempty"` // of a refusal
	Token    string            `json:"token,omitempty"`  // the name of the caller's token
	// Policies are the names of those that were asked; Spend is what counts against their bounds.
	Policies []string `json:"policies,omitempty"`
	Spend    *Spend   `json:"spend,omitempty"`
	Block    *Block   `json:"block,omitempty"`
	// Carried opens a segment: the blocks remembered so far, so that older segments need not be read at Open.
	Carried []Carried `json:"carried,omitempty"`
	// NotBefore, in a log that was restored, is the time of that: blocks of it and before may have been signed unseen.
	NotBefore uint64 `json:"notBefore,omitempty"`
	// Pruned tells of segments that were removed because they were old.
	Pruned *Pruned `json:"pruned,omitempty"`
	Prev   string  `json:"prev"` // sha-256 of the line before, hex
}

// Spend is what something may cost, in attoFIL; of things with one slot only the dearest counts.
type Spend struct {
	Cost string `json:"cost"`
	Slot string `json:"slot"`
}

// Pruned is the last record that was removed, and the hash of its line.
type Pruned struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"`
}

// Carried is the memory of blocks of one (signer, miner).
type Carried struct {
	Signer string  `json:"signer"`
	Miner  string  `json:"miner"`
	Blocks []Block `json:"blocks"`
}

func (r *Record) line() ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode sign record: %w", err)
	}
	return append(b, '\n'), nil
}

func hashLine(line []byte) string {
	h := sha256.Sum256(line)
	return hex.EncodeToString(h[:])
}
