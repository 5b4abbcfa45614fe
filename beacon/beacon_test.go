package beacon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// quicknet is the public chain whose scheme our private beacons share.
const quicknet = `{"public_key":"83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a","period":3,"genesis_time":1692803367,"hash":"52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971","groupHash":"f477d5c89f21a17c863a7f937c6a6d15859414d2be09cd448d4279af331c5d3e","schemeID":"bls-unchained-g1-rfc9380","metadata":{"beaconID":"quicknet"}}`

func TestInfoHashes(t *testing.T) {
	var info Info
	require.NoError(t, json.Unmarshal([]byte(quicknet), &info), "the hash of quicknet must come out of its fields")
	again, err := json.Marshal(info)
	require.NoError(t, err)
	require.JSONEq(t, quicknet, string(again))

	info.Period *= 2
	require.NotEqual(t, info.Hash(), sha256.Sum256(nil))
	require.Error(t, json.Unmarshal([]byte(`{"public_key":"00","period":3,"genesis_time":1}`), &info))
	require.Error(t, json.Unmarshal([]byte(`{"public_key":"","period":0}`), &info))
}

func TestQuicknetRound(t *testing.T) {
	var info Info
	require.NoError(t, json.Unmarshal([]byte(quicknet), &info))
	scheme, err := info.Scheme()
	require.NoError(t, err)
	sig := unhex(t, "b75c69d0b72a5d906e854e808ba7e2accb1542ac355ae486d591aa9d43765482e26cd02df835d3546d23c4b13e0dfc92")
	require.NoError(t, scheme.Verify(info.PublicKey, 123, nil, sig))
	require.ErrorIs(t, scheme.Verify(info.PublicKey, 124, nil, sig), ErrBadSignature)
}

type drandCase struct {
	Message           string `json:"message"`
	PreviousSignature string `json:"previous_signature"`
	Randomness        string `json:"randomness"`
	Round             uint64 `json:"round"`
	Signature         string `json:"signature"`
	Valid             bool   `json:"valid"`
	PublicKey         string `json:"public_key"`
}

type drandFile struct {
	Cases     []drandCase `json:"cases"`
	PublicKey string      `json:"public_key"`
	ChainInfo struct {
		PublicKey   string `json:"public_key"`
		Period      int64  `json:"period"`
		GenesisTime int64  `json:"genesis_time"`
		Hash        string `json:"hash"`
		GroupHash   string `json:"groupHash"`
	} `json:"chain_info"`
}

const incentinetKey = "8cad0c72c606ab27d36ee06de1d5b2db1faf92e447025ca37575ab3a8aac2eaae83192f846fc9e158bc738423753d000"

func TestChainedVectors(t *testing.T) {
	scheme, err := SchemeByID(SchemeChained)
	require.NoError(t, err)
	count := 0
	for _, name := range []string{"chain/drand-beacon.json", "chain/drand-mainnet.json"} {
		var file drandFile
		vectors.JSON(t, name, &file)
		key := incentinetKey
		if file.ChainInfo.PublicKey != "" {
			key = file.ChainInfo.PublicKey
			info := Info{PublicKey: unhex(t, key), Period: time.Duration(file.ChainInfo.Period) * time.Second,
				GenesisTime: file.ChainInfo.GenesisTime, Seed: unhex(t, file.ChainInfo.GroupHash)}
			require.Equal(t, file.ChainInfo.Hash, info.HashHex())
		}
		for _, c := range file.Cases {
			if c.PublicKey != "" {
				key = c.PublicKey
			}
			sig, prev := unhex(t, c.Signature), unhex(t, c.PreviousSignature)
			require.Equal(t, c.Message, hex.EncodeToString(scheme.Message(c.Round, prev)))
			random := sha256.Sum256(sig)
			require.Equal(t, c.Randomness, hex.EncodeToString(random[:]))
			require.Equal(t, c.Valid, scheme.Verify(unhex(t, key), c.Round, prev, sig) == nil)
			sig[50] ^= 1
			require.Error(t, scheme.Verify(unhex(t, key), c.Round, prev, sig))
			count++
		}
		vectors.Count(t, name, len(file.Cases))
	}
	require.Equal(t, 20, count)
	t.Logf("%d chained rounds verified", count)
}

const testGenesis = 1_700_000_000

func testBeacon(t testing.TB, clk clock.Clock) (*Key, Info, Timing, *Private) {
	t.Helper()
	seed := sha256.Sum256([]byte("beacon of the tests"))
	key, err := NewKey(seed[:])
	require.NoError(t, err)
	info := key.Info("local", testGenesis-4, 2*time.Second)
	timing := Timing{GenesisTime: testGenesis, BlockDelay: 2 * time.Second}
	p, err := NewPrivate(key, info, timing, clk)
	require.NoError(t, err)
	return key, info, timing, p
}

func TestKeyIsStable(t *testing.T) {
	key, _, _, _ := testBeacon(t, clock.NewSim(time.Unix(testGenesis, 0)))
	again, err := KeyFromBytes(key.Bytes())
	require.NoError(t, err)
	require.Equal(t, key.PublicKey(), again.PublicKey())
	_, err = KeyFromBytes(make([]byte, SecretSize))
	require.Error(t, err, "a zero key must be refused")
	_, err = KeyFromBytes(nil)
	require.Error(t, err)
	_, err = NewKey(nil)
	require.Error(t, err)
}

func TestScheduleRules(t *testing.T) {
	clk := clock.NewSim(time.Unix(testGenesis+1000, 0))
	_, _, _, source := testBeacon(t, clk)
	sched, err := NewSchedule(Point{0, source})
	require.NoError(t, err)
	ctx := context.Background()
	genesis := types.BeaconEntry{Round: 0, Data: make([]byte, 32)}

	first, err := sched.Entries(ctx, 3, 0, genesis)
	require.NoError(t, err)
	require.Len(t, first, 3, "the first block carries the rounds of epochs 1, 2 and 3")
	require.Equal(t, sched.MaxRoundForEpoch(3), first[2].Round)
	require.NoError(t, sched.Check(3, 0, genesis, first))

	next, err := sched.Entries(ctx, 5, 3, first[2])
	require.NoError(t, err)
	require.Len(t, next, 2)
	require.NoError(t, sched.Check(5, 3, first[2], next))

	bad := map[string][]types.BeaconEntry{
		"none":      nil,
		"one short": next[1:],
		"old round": {first[2], next[1]},
		"swapped":   {next[1], next[0]},
		"too many":  append(append([]types.BeaconEntry{}, next...), next[1]),
		"bad bytes": {next[0], {Round: next[1].Round, Data: next[0].Data}},
	}
	for name, entries := range bad {
		require.ErrorIs(t, sched.Check(5, 3, first[2], entries), ErrWrongEntries, name)
	}
}

func TestSlowBeaconNeedsNoEntryInEveryEpoch(t *testing.T) {
	clk := clock.NewSim(time.Unix(testGenesis+1000, 0))
	key, _, timing, _ := testBeacon(t, clk)
	source, err := NewPrivate(key, key.Info("slow", testGenesis-60, 30*time.Second), timing, clk)
	require.NoError(t, err)
	sched, err := NewSchedule(Point{0, source})
	require.NoError(t, err)
	prev, err := source.Entry(context.Background(), sched.MaxRoundForEpoch(4))
	require.NoError(t, err)
	entries, err := sched.Entries(context.Background(), 5, 4, prev)
	require.NoError(t, err)
	require.Empty(t, entries)
	require.NoError(t, sched.Check(5, 4, prev, nil))
	require.ErrorIs(t, sched.Check(5, 4, prev, []types.BeaconEntry{prev}), ErrWrongEntries)
}

func TestChangeOfBeacon(t *testing.T) {
	clk := clock.NewSim(time.Unix(testGenesis+1000, 0))
	_, _, timing, old := testBeacon(t, clk)
	seed := sha256.Sum256([]byte("the next beacon"))
	key, err := NewKey(seed[:])
	require.NoError(t, err)
	fresh, err := NewPrivate(key, key.Info("next", testGenesis-100, 2*time.Second), timing, clk)
	require.NoError(t, err)
	sched, err := NewSchedule(Point{0, old}, Point{10, fresh})
	require.NoError(t, err)
	require.Equal(t, Source(old), sched.At(9))
	require.Equal(t, Source(fresh), sched.At(10))
	prev, err := old.Entry(context.Background(), sched.MaxRoundForEpoch(9))
	require.NoError(t, err)
	entries, err := sched.Entries(context.Background(), 11, 9, prev)
	require.NoError(t, err)
	require.Len(t, entries, 2)
	require.NoError(t, sched.Check(11, 9, prev, entries))
	require.ErrorIs(t, sched.Check(11, 9, prev, entries[1:]), ErrWrongEntries)
	_, err = NewSchedule(Point{5, old}, Point{5, fresh})
	require.Error(t, err)
	_, err = NewSchedule()
	require.Error(t, err)
}

// The mainnet numbers of node.md 5: epoch 51000 draws from round numbers one slot behind.
func TestRoundForEpoch(t *testing.T) {
	info := Info{Period: 30 * time.Second, GenesisTime: 1595431050}
	timing := Timing{GenesisTime: 1598306400, BlockDelay: 30 * time.Second}
	for _, epoch := range []abi.ChainEpoch{51000, 60000, 1594680} {
		slot := int64(epoch)*30 + 1598306400 - 30
		require.Equal(t, uint64(slot-1595431050)/30, timing.MaxRound(info, epoch))
		require.Equal(t, timing.MaxRound(info, epoch)+1, info.RoundAt(time.Unix(slot, 0)), "one less than drand's own count")
	}
	require.Zero(t, timing.MaxRound(Info{Period: time.Second, GenesisTime: 1598306400}, 0))
}

func TestServerAndClient(t *testing.T) {
	clk := clock.NewSim(time.Unix(testGenesis+100, 0))
	key, info, timing, private := testBeacon(t, clk)
	server, err := NewServer(key, info, clk)
	require.NoError(t, err)
	web := httptest.NewServer(server)
	defer web.Close()

	got, err := FetchInfo(context.Background(), web.URL)
	require.NoError(t, err)
	require.Equal(t, info, got)

	client, err := NewClient(info, timing, []string{"http://127.0.0.1:1", web.URL + "/"}, clk)
	require.NoError(t, err)
	e, err := client.Entry(context.Background(), 7)
	require.NoError(t, err)
	want, err := private.Entry(context.Background(), 7)
	require.NoError(t, err)
	require.Equal(t, want, e)

	newest := info.RoundAt(clk.Now())
	status := func(path string) int {
		resp, err := http.Get(web.URL + path)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	hash := "/" + info.HashHex()
	for path, code := range map[string]int{
		"/health": 200, "/chains": 200, "/info": 200, "/public/latest": 200, "/public/1": 200,
		hash + "/health": 200, hash + "/info": 200, hash + "/public/latest": 200, hash + "/public/3": 200,
		"/public/0": 404, "/public/x": 400, "/public/99999999": 425, "/00/info": 404, hash + "/else": 404,
	} {
		require.Equal(t, code, status(path), path)
	}
	require.Equal(t, http.StatusTooEarly, status("/public/"+jsonNumber(newest+1)))

	// A round of the future is waited for on the clock, then fetched.
	done := make(chan types.BeaconEntry, 1)
	go func() {
		e, err := client.Entry(context.Background(), newest+1)
		if err == nil {
			done <- e
		}
	}()
	require.NoError(t, clk.WaitFor(context.Background(), 1))
	clk.Advance(2 * time.Second)
	require.Equal(t, newest+1, (<-done).Round)
}

func jsonNumber(n uint64) string {
	b, _ := json.Marshal(n)
	return string(b)
}

func TestScheduleOfNetworks(t *testing.T) {
	clk := clock.NewSim(time.Unix(1598306400, 0))
	for _, name := range []string{"mainnet", "calibnet", "nerpa", "2k"} {
		net, err := params.ByName(name)
		require.NoError(t, err)
		sched, err := FromNetwork(&net, 1598306400, nil, clk)
		require.NoError(t, err, name)
		require.Len(t, sched, len(net.Beacons))
	}
	net, err := params.ByName("local")
	require.NoError(t, err)
	net.Beacons = nil
	_, err = FromNetwork(&net, 1598306400, nil, clk)
	require.ErrorContains(t, err, "genesis")

	_, info, _, _ := testBeacon(t, clk)
	back, err := InfoOf(info.Params("http://127.0.0.1:1"))
	require.NoError(t, err)
	require.Equal(t, info.HashHex(), back.HashHex())
	require.Equal(t, info.PublicKey, back.PublicKey)
}

func TestClientRefusesALyingServer(t *testing.T) {
	clk := clock.NewSim(time.Unix(testGenesis+100, 0))
	_, info, timing, private := testBeacon(t, clk)
	other, err := private.Entry(context.Background(), 8)
	require.NoError(t, err)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, roundJSON{Round: 7, Signature: hex.EncodeToString(other.Data)}, "no-cache")
	}))
	defer web.Close()
	client, err := NewClient(info, timing, []string{web.URL}, clk)
	require.NoError(t, err)
	_, err = client.askAll(context.Background(), 7)
	require.ErrorIs(t, err, ErrBadSignature)
}

func FuzzInfoJSON(f *testing.F) {
	f.Add([]byte(quicknet))
	f.Add([]byte(`{"period":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var i Info
		if json.Unmarshal(b, &i) != nil {
			return
		}
		out, err := json.Marshal(i)
		require.NoError(t, err)
		var again Info
		require.NoError(t, json.Unmarshal(out, &again))
		require.Equal(t, i.Hash(), again.Hash())
	})
}

func FuzzVerify(f *testing.F) {
	f.Add(make([]byte, 48), make([]byte, 96))
	f.Fuzz(func(t *testing.T, key, sig []byte) {
		for _, id := range []string{SchemeChained, SchemeQuicknet} {
			s, err := SchemeByID(id)
			require.NoError(t, err)
			require.Error(t, s.Verify(key, 1, nil, sig))
		}
	})
}

// Entries checked together are all good or none is remembered; errors that cancel each other out are found.
func TestManyEntriesAtOnce(t *testing.T) {
	key, info, timing, _ := testBeacon(t, clock.NewSim(time.Unix(testGenesis, 0)))
	for _, id := range []string{SchemeChained, SchemeUnchained, SchemeG1Legacy, SchemeQuicknet} {
		t.Run(id, func(t *testing.T) {
			scheme, err := SchemeByID(id)
			require.NoError(t, err)
			mine := Info{PublicKey: scheme.publicKey(&key.secret), Period: info.Period, GenesisTime: info.GenesisTime, Seed: info.Seed, SchemeID: id}
			r, err := newRounds(mine, timing)
			require.NoError(t, err)
			var links []Link
			prev := types.BeaconEntry{Round: 1, Data: []byte("the beginning")}
			for round := uint64(2); round < 12; round++ {
				sig, err := scheme.sign(&key.secret, round, prev.Data)
				require.NoError(t, err)
				cur := types.BeaconEntry{Round: round, Data: sig}
				links = append(links, Link{prev, cur})
				prev = cur
			}
			with := func(i int, data []byte) []Link {
				out := slices.Clone(links)
				out[i].Cur.Data = data
				return out
			}
			require.ErrorIs(t, r.VerifyAll(with(3, links[4].Cur.Data)), ErrBadSignature)
			require.Error(t, r.VerifyAll(with(3, []byte("no point"))))
			gap := slices.Clone(links)
			gap[3].Cur.Round++
			require.Error(t, r.VerifyAll(gap))
			swapped := with(3, links[4].Cur.Data) // the sum of all signatures is right
			swapped[4].Cur.Data = links[3].Cur.Data
			require.ErrorIs(t, r.VerifyAll(swapped), ErrBadSignature)
			require.Zero(t, r.good.Len(), "nothing is remembered of a bad batch")
			require.NoError(t, r.VerifyAll(links))
			require.Equal(t, len(links), r.good.Len())
			for _, l := range links {
				require.NoError(t, r.Verify(l.Prev, l.Cur))
			}
			require.NoError(t, r.VerifyAll(nil))
		})
	}
}
