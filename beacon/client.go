package beacon

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/types"
)

const (
	// answerLimit bounds what is read of a server's answer; a round is below 1 KiB.
	answerLimit = 64 << 10
	// askTimeout bounds one question to one server.
	askTimeout = 5 * time.Second
	// retryPause lies between two attempts over all servers.
	retryPause = 500 * time.Millisecond
	entryCache = 1024
)

// errNotYet is a server's answer that the round does not exist there yet.
var errNotYet = errors.New("round is not there yet")

// Client is the source that asks drand HTTP servers. Every answer is verified, so servers need not be trusted.
type Client struct {
	*rounds
	servers []string
	http    *http.Client
	clock   clock.Clock
	cache   *lru.Cache[uint64, types.BeaconEntry]
	mu      sync.Mutex
	// preferred is the index of the server that answered last.
	preferred int
}

// NewClient returns a source that asks the servers (base URLs without the chain hash) in turn.
func NewClient(info Info, timing Timing, servers []string, clk clock.Clock) (*Client, error) {
	r, err := newRounds(info, timing)
	if err != nil {
		return nil, err
	}
	cache, err := lru.New[uint64, types.BeaconEntry](entryCache)
	if err != nil {
		return nil, fmt.Errorf("beacon cache: %w", err)
	}
	c := &Client{rounds: r, http: &http.Client{Timeout: askTimeout}, clock: clk, cache: cache}
	for _, s := range servers {
		c.servers = append(c.servers, strings.TrimRight(s, "/"))
	}
	return c, nil
}

// FetchInfo asks one server which chain it serves.
func FetchInfo(ctx context.Context, server string) (Info, error) {
	var info Info
	client := &http.Client{Timeout: askTimeout}
	if err := getJSON(ctx, client, strings.TrimRight(server, "/")+"/info", &info); err != nil {
		return Info{}, fmt.Errorf("beacon info from %s: %w", server, err)
	}
	return info, nil
}

// Entry waits until the round is due, then asks the servers in turn until one gives a signature that verifies or the
// context ends.
func (c *Client) Entry(ctx context.Context, round uint64) (types.BeaconEntry, error) {
	if e, ok := c.cache.Get(round); ok {
		return e, nil
	}
	if len(c.servers) == 0 {
		return types.BeaconEntry{}, fmt.Errorf("beacon round %d: no beacon server is configured", round)
	}
	if err := c.clock.Sleep(ctx, c.info.DueAt(round).Sub(c.clock.Now())); err != nil {
		return types.BeaconEntry{}, fmt.Errorf("wait for beacon round %d: %w", round, err)
	}
	var last error
	for {
		e, err := c.askAll(ctx, round)
		if err == nil {
			c.cache.Add(round, e)
			return e, nil
		}
		last = err
		if err := c.clock.Sleep(ctx, retryPause); err != nil {
			return types.BeaconEntry{}, fmt.Errorf("beacon round %d: %w (last answer: %w)", round, err, last)
		}
	}
}

func (c *Client) askAll(ctx context.Context, round uint64) (types.BeaconEntry, error) {
	c.mu.Lock()
	first := c.preferred
	c.mu.Unlock()
	var errs []error
	for i := range c.servers {
		n := (first + i) % len(c.servers)
		e, err := c.ask(ctx, c.servers[n], round)
		if err == nil {
			c.mu.Lock()
			c.preferred = n
			c.mu.Unlock()
			return e, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", c.servers[n], err))
	}
	return types.BeaconEntry{}, errors.Join(errs...)
}

// roundJSON is drand's answer for a round.
type roundJSON struct {
	Round             uint64 `json:"round"`
	Randomness        string `json:"randomness"`
	Signature         string `json:"signature"`
	PreviousSignature string `json:"previous_signature,omitempty"`
}

func (c *Client) ask(ctx context.Context, server string, round uint64) (types.BeaconEntry, error) {
	var answer roundJSON
	url := server + "/" + c.info.HashHex() + "/public/" + strconv.FormatUint(round, 10)
	if err := getJSON(ctx, c.http, url, &answer); err != nil {
		return types.BeaconEntry{}, err
	}
	if answer.Round != round {
		return types.BeaconEntry{}, fmt.Errorf("answered round %d when asked for %d", answer.Round, round)
	}
	sig, err := hex.DecodeString(answer.Signature)
	if err != nil {
		return types.BeaconEntry{}, fmt.Errorf("signature: %w", err)
	}
	previous, err := hex.DecodeString(answer.PreviousSignature)
	if err != nil {
		return types.BeaconEntry{}, fmt.Errorf("previous signature: %w", err)
	}
	if err := c.check(round, previous, sig); err != nil {
		return types.BeaconEntry{}, err
	}
	return types.BeaconEntry{Round: round, Data: sig}, nil
}

func getJSON(ctx context.Context, client *http.Client, url string, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return err
	}
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusTooEarly:
		return errNotYet
	default:
		return fmt.Errorf("status %s", resp.Status)
	}
	return json.Unmarshal(body, out)
}
