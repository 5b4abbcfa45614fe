package sector

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/filecoin-venus/venus/internal/golden"
)

func testPolicy() Policy {
	return Policy{
		PreCommitChallengeDelay: 10, SeedConfidence: 2, MaxTicketAge: 1080, TicketMargin: 60, MaxProveCommitDuration: 28810,
		BackoffBase: 2 * time.Second, BackoffMax: time.Minute, TaskBudget: 6, MessageBudget: 4, ResealBudget: 3, Finality: 900,
	}
}

func testCid(name string) cid.Cid {
	h, err := multihash.Sum([]byte(name), multihash.SHA2_256, -1)
	if err != nil {
		panic(err)
	}
	return cid.NewCidV1(cid.Raw, h)
}

var t0 = time.Date(2022, 3, 1, 12, 0, 0, 0, time.UTC)

// script runs one scenario: every line is an event or a moment, and the
// transcript shows the record and the effect that is due after it.
type script struct {
	p   Policy
	r   Record
	now Now
	out strings.Builder
}

func (s *script) run(t *testing.T, line string) {
	f := strings.Fields(line)
	fmt.Fprintf(&s.out, "> %s\n", line)
	switch f[0] {
	case "policy": // policy batching
		s.p.BatchPreCommits, s.p.AggregateCommits = true, true
		return
	case "new":
		s.now = Now{Time: t0, Epoch: 1000}
		s.r = New(1000, 7, abi.RegisteredSealProof_StackedDrg2KiBV1_1, t0)
	case "new-for-deals":
		s.now = Now{Time: t0, Epoch: 1000}
		s.r = NewForDeals(1000, 7, abi.RegisteredSealProof_StackedDrg2KiBV1_1, t0)
	case "proving": // a sector at the end of its sealing
		s.now = Now{Time: t0, Epoch: 1000}
		s.r = recordIn(Proving)
	case "at": // at EPOCH: one epoch is one second
		e := num(t, f[1])
		s.now = Now{Time: t0.Add(time.Duration(e-1000) * time.Second), Epoch: abi.ChainEpoch(e)}
		return
	default:
		next, err := Step(s.p, s.r, s.now, parseEvent(t, s, f))
		if err != nil {
			require.ErrorIs(t, err, ErrIgnored)
			s.out.WriteString("  ignored\n")
			return
		}
		s.r = next
	}
	fmt.Fprintf(&s.out, "  %s", s.r.State)
	if s.r.Tries > 0 {
		fmt.Fprintf(&s.out, " tries=%d", s.r.Tries)
	}
	if s.r.Redo {
		s.out.WriteString(" redo")
	}
	if s.r.Solo {
		s.out.WriteString(" solo")
	}
	if len(s.r.Deals) > 0 {
		fmt.Fprintf(&s.out, " deals=%v", IDsOf(s.r.Deals))
	}
	if u := s.r.Update; u != nil {
		fmt.Fprintf(&s.out, " deals=%v", u.DealIDs())
		if s.r.Updated() {
			s.out.WriteString(" updated")
		}
	}
	if s.r.Restarts > 0 {
		fmt.Fprintf(&s.out, " restarts=%d", s.r.Restarts)
	}
	if s.r.Parked != "" {
		fmt.Fprintf(&s.out, " parked=%q", s.r.Parked)
	}
	if s.r.Failed() {
		fmt.Fprintf(&s.out, " err=%q (%s)", s.r.LastErr, s.r.LastClass)
	}
	fmt.Fprintf(&s.out, "\n  due: %s\n", s.short(DueEffect(s.p, s.r).String()))
}

// Failed is a shorthand of the tests.
func (r Record) Failed() bool { return r.State.Failed() || !r.RetryAt.IsZero() }

// short puts names for derived ids.
func (s *script) short(line string) string {
	for i := 1; i < 9; i++ {
		line = strings.ReplaceAll(line, s.r.messageID(KindPreCommit, i), fmt.Sprintf("P%d", i))
		line = strings.ReplaceAll(line, s.r.messageID(KindCommit, i), fmt.Sprintf("C%d", i))
		line = strings.ReplaceAll(line, s.r.messageID(KindUpdate, i), fmt.Sprintf("U%d", i))
		line = strings.ReplaceAll(line, batchID(i), fmt.Sprintf("B%d", i))
	}
	return line
}

func batchID(i int) string { return MessageID(1000, "batch", KindPreCommit, i) }

func num(t *testing.T, s string) int {
	n, err := strconv.Atoi(s)
	require.NoError(t, err)
	return n
}

func parseEvent(t *testing.T, s *script, f []string) Event {
	arg := func(i int) string { require.Greater(t, len(f), i, strings.Join(f, " ")); return f[i] }
	rest := func(i int) string { return strings.Join(f[i:], " ") }
	msg := func(i int) string {
		a := arg(i)
		if a[0] == 'B' {
			return batchID(num(t, a[1:]))
		}
		kind := KindPreCommit
		switch a[0] {
		case 'C':
			kind = KindCommit
		case 'U':
			kind = KindUpdate
		}
		return s.r.messageID(kind, num(t, a[1:]))
	}
	attempt := func(i int) int {
		if len(f) > i && f[i] != "." {
			return num(t, f[i])
		}
		return s.r.TaskAttempt
	}
	switch f[0] {
	case "done":
		k := TaskKind(arg(1))
		commR := testCid("r")
		if k == TaskReplicaUpdate {
			commR = testCid("u")
		}
		if len(f) > 3 {
			commR = testCid(f[3])
		}
		return TaskDone{Kind: k, Attempt: attempt(2), CommD: testCid("d"), CommR: commR, Proof: []byte("proof"), Pieces: []abi.PieceInfo{{Size: 2048, PieceCID: testCid("d")}}}
	case "fail":
		return TaskFailed{Kind: TaskKind(arg(1)), Attempt: s.r.TaskAttempt, Err: rest(2)}
	case "ticket":
		return TicketRead{Randomness{Value: []byte("ticket"), Epoch: abi.ChainEpoch(num(t, arg(1)))}}
	case "seed":
		return SeedRead{Randomness{Value: []byte(arg(2)), Epoch: abi.ChainEpoch(num(t, arg(1)))}}
	case "pushed":
		return Pushed{ID: msg(1), Value: big.NewInt(5)}
	case "landed":
		return Landed{ID: msg(1), Cid: testCid("m"), Exit: exitcode.ExitCode(num(t, arg(2))), Height: s.now.Epoch}
	case "dropped":
		return Dropped{ID: msg(1), Err: rest(2)}
	case "precommitted":
		c := testCid("r")
		if len(f) > 2 {
			c = testCid(f[2])
		}
		return OnChainPreCommitted{Epoch: abi.ChainEpoch(num(t, arg(1))), CommR: c}
	case "proven":
		c := testCid("r")
		if len(f) > 1 {
			c = testCid(f[1])
		}
		return OnChainProven{CommR: c}
	case "mark":
		return MarkForUpdate{}
	case "abort":
		return AbortUpdate{}
	case "deal": // deal ID SIZE START
		return TakeDeals{Deals: []Deal{testDeal(num(t, arg(1)), num(t, arg(2)), num(t, arg(3)))}}
	case "pack":
		return StartPacking{}
	case "pieces":
		return PiecesAdded{}
	case "give-up":
		return GiveUp{Why: rest(1)}
	case "update-dropped":
		return UpdateDropped{}
	case "key-released":
		return KeyReleased{}
	case "absent":
		return OnChainAbsent{Allocated: len(f) > 1}
	case "invalid":
		return ProofInvalid{Err: rest(1)}
	case "failed":
		return Failed{Class: Class(arg(1)), Err: rest(2)}
	case "joined":
		return Joined{ID: msg(1)}
	case "alone":
		return Alone{}
	case "live":
		return OnChainLive{Faulty: len(f) > 1}
	case "ended":
		return OnChainEnded{At: s.now.Epoch, Early: len(f) > 1}
	case "reconciled":
		return Reconciled{CommR: testCid("r"), Ticket: Randomness{[]byte("old"), 500}, Proven: len(f) > 1}
	case "overdue":
		return Overdue{}
	case "later":
		return Later{Until: s.now.Time.Add(time.Minute), Why: rest(1)}
	case "bad":
		return FoundBad{Err: rest(1)}
	case "deeply":
		if arg(1) == "good" {
			return FoundGood{Deep: true}
		}
		return FoundBad{Err: rest(2), Deep: true}
	case "good":
		return FoundGood{}
	case "files-removed":
		return FilesRemoved{}
	case "terminate":
		return Terminate{}
	case "remove":
		return Remove{Abandon: len(f) > 1}
	case "redo":
		return Redo{}
	case "due":
		return Due{}
	case "retry":
		return Retry{}
	case "force":
		return Force{To: State(arg(1))}
	}
	t.Fatalf("unknown event %q", f[0])
	return nil
}

// testDeal is a deal with a piece of so many padded bytes.
func testDeal(id, size, start int) Deal {
	return Deal{ID: abi.DealID(id), Piece: abi.PieceInfo{Size: abi.PaddedPieceSize(size), PieceCID: testCid(fmt.Sprint("piece", id))},
		Start: abi.ChainEpoch(start), End: abi.ChainEpoch(start + 500), Since: t0}
}

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			s := &script{p: testPolicy()}
			for _, line := range strings.Split(strings.TrimRight(string(want), "\n"), "\n") {
				switch {
				case strings.HasPrefix(line, "#"), line == "":
					s.out.WriteString(line + "\n")
				case strings.HasPrefix(line, "> "):
					s.run(t, strings.TrimPrefix(line, "> "))
				}
			}
			golden.Equal(t, file, s.out.String())
		})
	}
}

// allEvents holds one event of every type and, for tasks, of every kind.
func allEvents(r Record) []Event {
	evs := []Event{
		TicketRead{Randomness{Value: []byte("t2"), Epoch: 940}}, SeedRead{Randomness{Value: []byte("s2"), Epoch: 1020}},
		Pushed{ID: r.PreCommit.ID, Value: big.Zero()}, Pushed{ID: r.Commit.ID, Value: big.Zero()}, Pushed{ID: "other", Value: big.Zero()},
		Landed{ID: r.PreCommit.ID, Cid: testCid("m"), Exit: 0}, Landed{ID: r.Commit.ID, Cid: testCid("m"), Exit: 16}, Landed{ID: r.Commit.ID, Cid: testCid("m"), Exit: 7},
		Dropped{ID: r.PreCommit.ID, Err: "x"}, Dropped{ID: r.Commit.ID, Err: "x"},
		OnChainPreCommitted{Epoch: 1011, CommR: testCid("r")}, OnChainPreCommitted{Epoch: 1010, CommR: testCid("other")},
		OnChainProven{CommR: testCid("r")}, OnChainProven{CommR: testCid("other")}, OnChainAbsent{}, OnChainAbsent{Allocated: true},
		Reconciled{CommR: testCid("r"), Proven: true}, Reconciled{CommR: testCid("r"), Ticket: Randomness{[]byte("t"), 940}},
		Joined{ID: "B"}, Alone{}, OnChainLive{}, OnChainLive{Faulty: true}, OnChainEnded{At: 1029}, OnChainEnded{At: 1029, Early: true},
		Landed{ID: r.Terminate.ID, Cid: testCid("m"), Exit: 0, Height: 1029}, Landed{ID: r.Terminate.ID, Cid: testCid("m"), Exit: 16},
		Pushed{ID: r.Terminate.ID, Value: big.Zero()}, Dropped{ID: r.Terminate.ID, Err: "x"},
		Overdue{}, Later{Until: t0.Add(2 * time.Hour), Why: "x"}, FoundBad{Err: "x"}, FoundGood{}, FoundGood{Deep: true}, FilesRemoved{},
		Terminate{}, Remove{}, Remove{Abandon: true}, Redo{},
		OnChainProven{CommR: testCid("u")}, MarkForUpdate{}, AbortUpdate{}, TakeDeals{Deals: []Deal{testDeal(2, 256, 2000)}}, StartPacking{}, PiecesAdded{}, GiveUp{Why: "x"},
		UpdateDropped{}, KeyReleased{}, Pushed{ID: r.UpdateMsg.ID, Value: big.Zero()}, Dropped{ID: r.UpdateMsg.ID, Err: "x"},
		Landed{ID: r.UpdateMsg.ID, Cid: testCid("m"), Exit: 16}, Landed{ID: r.UpdateMsg.ID, Cid: testCid("m"), Exit: 7},
		Force{To: AbortUpgrade},
		ProofInvalid{Err: "x"}, Failed{Class: Transient, Err: "x"}, Failed{Class: Operator, Err: "x"}, Failed{Class: ChainFact, Err: "x"},
		Due{}, Retry{}, Force{To: PreCommit1}, Force{To: State("Nonsense")},
	}
	for _, k := range TaskKinds() {
		commR := testCid("r")
		if k == TaskReplicaUpdate {
			commR = testCid("u")
		}
		evs = append(evs, TaskDone{Kind: k, Attempt: r.TaskAttempt, CommD: testCid("d"), CommR: commR, Proof: []byte("p")}, TaskDone{Kind: k, Attempt: r.TaskAttempt - 1}, TaskFailed{Kind: k, Attempt: r.TaskAttempt, Err: "x"},
			TaskFailed{Kind: k, Attempt: r.TaskAttempt, Err: "no room", Full: true},
			TaskFailed{Kind: k, Attempt: r.TaskAttempt, Err: "refused", Refused: true})
	}
	return evs
}

// recordIn is a plausible record for a state.
func recordIn(st State) Record {
	r := New(1000, 7, abi.RegisteredSealProof_StackedDrg2KiBV1_1, t0)
	d, c := testCid("d"), testCid("r")
	r.State, r.CommD, r.CommR, r.Ticket = st, &d, &c, Randomness{[]byte("t"), 940}
	r.PreCommit = Message{ID: r.messageID(KindPreCommit, 1), Attempt: 1, Value: big.Zero()}
	r.Commit = Message{ID: r.messageID(KindCommit, 1), Attempt: 1, Value: big.Zero()}
	r.Terminate = Message{ID: r.messageID(KindTerminate, 1), Attempt: 1, Value: big.Zero()}
	r.PreCommitEpoch, r.Seed, r.TaskAttempt, r.TerminatedAt = 1010, Randomness{[]byte("s"), 1020}, 5, 1025
	if st.Failed() && !st.Final() {
		r.RetryAt, r.Tries = t0, 1
	}
	switch st {
	case WaitDeals, AddPiece, AddPieceFailed, DealsExpired:
		r.Deals, r.CommD, r.CommR = []Deal{testDeal(1, 512, 2000)}, nil, nil
		r.PreCommit.Attempt = 0
	}
	if st.Updating() {
		u := testCid("u")
		r.Update = &Update{Key: &c, KeyData: &d, Deals: []Deal{testDeal(1, 512, 2000)}, Proof: []byte("p"), CommD: &d, CommR: &u}
		r.UpdateMsg = Message{ID: r.messageID(KindUpdate, 1), Attempt: 1, Value: big.Zero()}
		switch st {
		case FinalizeReplicaUpdate, FinalizeReplicaUpdateFailed, UpdateActivating, ReleaseSectorKey, ReleaseSectorKeyFailed:
			r.CommR, r.Update.Landed, r.Update.Sent = &u, 100, true
		case ReplicaUpdateWait, ReplicaUpdateFailed:
			r.Update.Sent = true
		}
	}
	if k := r.pool(); k != "" {
		r.message(k).ID = ""
	}
	if st.Order() < PreCommitting.Order() || st == PackingFailed || st == SealPreCommit1Failed || st == SealPreCommit2Failed {
		r.PreCommit.Attempt = 0
	}
	if st == SubmitCommit || st == SubmitCommitAggregate || st == CommitWait || st == CommitAggregateWait {
		r.Proof = []byte("p")
	}
	return r
}

// TestEveryPair fixes the outcome of every (state, event) pair in one table, so
// that a change of the machine shows as a change of the table.
func TestEveryPair(t *testing.T) {
	var out strings.Builder
	now := Now{Time: t0.Add(time.Hour), Epoch: 1030}
	for _, st := range States() {
		fmt.Fprintf(&out, "%s\n", st)
		ignored := map[string]bool{}
		for _, ev := range allEvents(recordIn(st)) {
			r := recordIn(st)
			next, err := Step(testPolicy(), r, now, ev)
			name := ev.String()
			for from, to := range map[string]string{r.messageID(KindPreCommit, 1): "P1", r.messageID(KindCommit, 1): "C1", r.messageID(KindTerminate, 1): "T1", r.messageID(KindUpdate, 1): "U1"} {
				name = strings.ReplaceAll(name, from, to)
			}
			if err != nil {
				require.ErrorIs(t, err, ErrIgnored)
				require.Equal(t, r, next)
				ignored[strings.Fields(name)[0]] = true
				continue
			}
			require.True(t, next.State.Known())
			line := fmt.Sprintf("  %-40s -> %-20s%s", name, next.State, changes(r, next))
			out.WriteString(strings.TrimRight(line, " ") + "\n")
		}
		names := slices.Sorted(maps.Keys(ignored))
		fmt.Fprintf(&out, "  ignored: %s\n", strings.Join(names, " "))
	}
	golden.Equal(t, filepath.Join("testdata", "pairs.table"), out.String())
}

// changes says what else than the state a step changed.
func changes(r, next Record) string {
	var out string
	for _, x := range []struct {
		say string
		is  bool
	}{
		{"new precommit message", next.PreCommit.Attempt > r.PreCommit.Attempt},
		{"new commit message", next.Commit.Attempt > r.Commit.Attempt},
		{"new termination", next.Terminate.Attempt > r.Terminate.Attempt},
		{"redo", next.Redo && !r.Redo},
		{"new update message", next.UpdateMsg.Attempt > r.UpdateMsg.Attempt},
		{"updated", next.Updated() && !r.Updated()},
		{"not updated", !next.Updated() && r.Updated()},
		{"no update", next.Update == nil && r.Update != nil},
		{"after back-off", !next.RetryAt.IsZero()},
		{"parked", next.Parked != "" && next.RetryAt.IsZero()},
	} {
		if x.is {
			out += " " + x.say
		}
	}
	return out
}

// TestNothingIsLeftOut reads the package: the table above must have every state
// and every event.
func TestNothingIsLeftOut(t *testing.T) {
	events, states := map[string]bool{}, map[string]bool{}
	fset := token.NewFileSet()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		f, err := parser.ParseFile(fset, file, nil, 0)
		require.NoError(t, err)
		ast.Inspect(f, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.FuncDecl:
				if x.Name.Name == "isEvent" {
					events[x.Recv.List[0].Type.(*ast.Ident).Name] = true
				}
			case *ast.ValueSpec:
				if id, ok := x.Type.(*ast.Ident); ok && id.Name == "State" && len(x.Values) == 1 {
					if lit, ok := x.Values[0].(*ast.BasicLit); ok {
						states[strings.Trim(lit.Value, `"`)] = true
					}
				}
			}
			return true
		})
	}
	have := map[string]bool{}
	for _, ev := range allEvents(recordIn(Proving)) {
		have[reflect.TypeOf(ev).Name()] = true
	}
	require.Equal(t, events, have)
	known := map[string]bool{}
	for _, s := range States() {
		known[string(s)] = true
		require.NotEmpty(t, meanings[s][0], "state %s is not explained", s)
	}
	require.Equal(t, states, known)
}

// TestExplain fixes what the operator is told in every state.
func TestExplain(t *testing.T) {
	var out strings.Builder
	for _, st := range States() {
		r := recordIn(st)
		w := Explain(testPolicy(), r)
		require.NotEmpty(t, w.Next)
		fmt.Fprintf(&out, "%s: %s\n  waits for: %s\n  next: %s", st, w.Means, w.Waits, (&script{r: r}).short(w.Next))
		if !w.NextAt.IsZero() {
			fmt.Fprintf(&out, " at %s", w.NextAt.Format(time.TimeOnly))
		}
		out.WriteByte('\n')
		if w.Limit != "" {
			fmt.Fprintf(&out, "  from epoch %d on: %s\n", w.LimitEpoch, w.Limit)
		}
		for _, o := range w.Options {
			fmt.Fprintf(&out, "  - %s: %s\n", (&script{r: r}).short(o.Do), o.Then)
		}
	}
	golden.Equal(t, filepath.Join("testdata", "why.table"), out.String())
	r := recordIn(PreCommitting)
	r, err := Step(testPolicy(), r, Now{Time: t0}, Failed{Class: Operator, Err: "no funds"})
	require.NoError(t, err)
	w := Explain(testPolicy(), r)
	require.Equal(t, "you: no funds", w.Waits)
	require.Equal(t, t0.Add(2*time.Second+437500*time.Microsecond), w.NextAt)
	require.Equal(t, Option{Do: "venus-sealer sectors retry 7", Then: "try now"}, w.Options[0])
}

// TestRandomLives throws random events at the machine: no sector that the chain
// holds is sealed again, message ids are never used for two attempts, and every
// record that is not at rest has something due.
func TestRandomLives(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := testPolicy()
		r := New(1000, 7, abi.RegisteredSealProof_StackedDrg2KiBV1_1, t0)
		if rapid.Bool().Draw(rt, "for deals") {
			r = NewForDeals(1000, 7, abi.RegisteredSealProof_StackedDrg2KiBV1_1, t0)
		}
		now := Now{Time: t0, Epoch: 1000}
		committed := false
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			evs := allEvents(r)
			evs = append(evs, Pushed{ID: r.PreCommit.ID, Value: big.Zero()}, Due{}, Due{})
			if k, ok := taskOf(r); ok {
				evs = append(evs, TaskDone{Kind: k, Attempt: r.TaskAttempt, CommD: testCid("d"), CommR: testCid("r"), Proof: []byte("p")})
			}
			ev := rapid.SampledFrom(evs).Draw(rt, "event")
			switch ev.(type) {
			case Force, Remove, Terminate, Reconciled:
				continue
			}
			now.Time, now.Epoch = now.Time.Add(time.Second), now.Epoch+abi.ChainEpoch(rapid.IntRange(0, 30).Draw(rt, "epochs"))
			next, err := Step(p, r, now, ev)
			if err != nil {
				continue
			}
			if c, ok := ev.(OnChainPreCommitted); ok && next.State == WaitSeed {
				committed = committed || c.CommR.Equals(*next.CommR)
			}
			if committed && !next.Redo && (next.State == PreCommit1 || next.State == GetTicket) {
				rt.Fatalf("a committed sector went back to %s on %s from %s", next.State, ev, r.State)
			}
			if r.Updated() && !next.Updated() && next.Update == nil {
				rt.Fatalf("%s on %s forgot the replica that the chain has", r.State, ev)
			}
			if next.UpdateMsg.Attempt < r.UpdateMsg.Attempt || next.PreCommit.Attempt < r.PreCommit.Attempt || next.Commit.Attempt < r.Commit.Attempt {
				rt.Fatalf("an attempt was taken back")
			}
			if _, idle := DueEffect(p, next).(Nothing); idle && !next.State.Final() && next.Parked == "" {
				rt.Fatalf("%s after %s has nothing due", next.State, ev)
			}
			if absent, ok := ev.(OnChainAbsent); ok && !absent.Allocated {
				committed = false
			}
			r = next
		}
	})
}

func TestMessageIDs(t *testing.T) {
	a := MessageID(1000, "sector-1", KindPreCommit, 1)
	require.Equal(t, a, MessageID(1000, "sector-1", KindPreCommit, 1))
	seen := map[string]bool{a: true}
	for _, id := range []string{
		MessageID(1001, "sector-1", KindPreCommit, 1), MessageID(1000, "sector-2", KindPreCommit, 1),
		MessageID(1000, "sector-1", KindCommit, 1), MessageID(1000, "sector-1", KindPreCommit, 2), MessageID(1000, "sector-11", KindPreCommit, 1),
	} {
		require.False(t, seen[id])
		seen[id] = true
	}
}

// TestOvercome: an error is the sector's present trouble while it waits or tries again, and history from the moment on at
// which the step succeeded; another trouble is another error.
func TestOvercome(t *testing.T) {
	p, now := testPolicy(), Now{Time: t0, Epoch: 1000}
	r := New(1000, 7, abi.RegisteredSealProof_StackedDrg2KiBV1_1, t0)
	apply := func(ev Event) Why {
		t.Helper()
		now.Time = now.Time.Add(time.Hour)
		var err error
		r, err = Step(p, r, now, ev)
		require.NoError(t, err)
		return Explain(p, r)
	}
	require.Empty(t, Explain(p, r).LastErr)
	w := apply(TaskFailed{Kind: TaskAddPiece, Attempt: r.TaskAttempt, Err: "first"})
	require.Equal(t, []any{"first", true}, []any{w.LastErr, w.Overcome.IsZero()})
	w = apply(Due{})
	require.Equal(t, []any{"first", true}, []any{w.LastErr, w.Overcome.IsZero()}, "it is tried again")
	w = apply(TaskDone{Kind: TaskAddPiece, Attempt: r.TaskAttempt})
	over := now.Time
	require.Equal(t, []any{"first", over}, []any{w.LastErr, w.Overcome})
	w = apply(TicketRead{Ticket: Randomness{[]byte("t"), 940}})
	require.Equal(t, over, w.Overcome, "that was when")
	w = apply(TaskFailed{Kind: TaskPreCommit1, Attempt: r.TaskAttempt, Err: "second", Full: true})
	require.Equal(t, []any{"second", true}, []any{w.LastErr, w.Overcome.IsZero()})
	apply(Due{})
	w = apply(TaskDone{Kind: TaskPreCommit1, Attempt: r.TaskAttempt})
	require.Equal(t, []any{"second", now.Time}, []any{w.LastErr, w.Overcome})

	r.Overcome = time.Time{} // as an earlier release stored it
	require.Empty(t, Explain(p, r).LastErr)
}
