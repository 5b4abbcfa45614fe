package beacon

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/filecoin-venus/venus/internal/clock"
)

// Server answers drand's HTTP API for a private beacon. It keeps no state: a round is a function of its number, and whether
// it may be told is a question to the clock.
type Server struct {
	key   *Key
	info  Info
	clock clock.Clock
	mux   *http.ServeMux
	made  *lru.Cache[uint64, []byte]
}

// NewServer returns the handler of one beacon chain.
func NewServer(key *Key, info Info, clk clock.Clock) (*Server, error) {
	if err := info.Check(); err != nil {
		return nil, err
	}
	made, err := lru.New[uint64, []byte](entryCache)
	if err != nil {
		return nil, err
	}
	s := &Server{key: key, info: info, clock: clk, mux: http.NewServeMux(), made: made}
	s.mux.HandleFunc("GET /chains", s.chains)
	s.mux.HandleFunc("GET /info", s.chainInfo)
	s.mux.HandleFunc("GET /health", s.health)
	s.mux.HandleFunc("GET /public/{round}", s.round)
	s.mux.HandleFunc("GET /{hash}/{what}", s.ours(s.named))
	s.mux.HandleFunc("GET /{hash}/public/{round}", s.ours(s.round))
	return s, nil
}

// Info is the identity of the served chain.
func (s *Server) Info() Info { return s.info }

// ServeHTTP answers one request. Browsers of any origin may read.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	s.mux.ServeHTTP(w, r)
}

// ours lets a handler run only for the chain that this server has.
func (s *Server) ours(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("hash") != s.info.HashHex() {
			refuse(w, http.StatusNotFound, "this server has no beacon chain of that hash; see /chains")
			return
		}
		next(w, r)
	}
}

// named answers the two-part paths below a chain's hash.
func (s *Server) named(w http.ResponseWriter, r *http.Request) {
	switch r.PathValue("what") {
	case "info":
		s.chainInfo(w, r)
	case "health":
		s.health(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *Server) chains(w http.ResponseWriter, _ *http.Request) {
	answer(w, []string{s.info.HashHex()}, "max-age=300")
}

func (s *Server) chainInfo(w http.ResponseWriter, _ *http.Request) {
	answer(w, s.info, "max-age=300")
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	now := s.info.RoundAt(s.clock.Now())
	answer(w, map[string]uint64{"current": now, "expected": now}, "no-cache")
}

func (s *Server) round(w http.ResponseWriter, r *http.Request) {
	now := s.info.RoundAt(s.clock.Now())
	round, cache := now, "no-cache"
	if name := r.PathValue("round"); name != "latest" {
		n, err := strconv.ParseUint(name, 10, 64)
		if err != nil {
			refuse(w, http.StatusBadRequest, "a round is a decimal number or the word latest")
			return
		}
		round, cache = n, "public, max-age=31536000, immutable"
	}
	switch {
	case now == 0:
		refuse(w, http.StatusTooEarly, "the beacon has not started; round 1 is due at "+s.info.DueAt(1).UTC().Format(time.RFC3339))
		return
	case round == 0:
		refuse(w, http.StatusNotFound, "rounds start at 1")
		return
	case round > now:
		refuse(w, http.StatusTooEarly, "round "+strconv.FormatUint(round, 10)+" is not due yet; the newest is "+strconv.FormatUint(now, 10))
		return
	}
	sig, ok := s.made.Get(round)
	if !ok {
		var err error
		if sig, err = s.key.Sign(round); err != nil {
			refuse(w, http.StatusInternalServerError, "sign round: "+err.Error())
			return
		}
		s.made.Add(round, sig)
	}
	randomness := sha256.Sum256(sig)
	answer(w, roundJSON{Round: round, Randomness: hex.EncodeToString(randomness[:]), Signature: hex.EncodeToString(sig)}, cache)
}

func answer(w http.ResponseWriter, v any, cache string) {
	body, err := json.Marshal(v)
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", cache)
	// A reader that went away is no concern of the beacon.
	_, _ = w.Write(append(body, '\n'))
}

func refuse(w http.ResponseWriter, status int, reason string) {
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, reason, status)
}
