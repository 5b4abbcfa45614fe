package spread

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"

	"github.com/filecoin-venus/venus/sealer/sched"
	"github.com/filecoin-venus/venus/sealer/task"
	"github.com/filecoin-venus/venus/sealer/wdpost"
	"github.com/filecoin-venus/venus/worker"
)

// run is one window proof on its way. One goroutine carries it through; others tell it by its channels.
type run struct {
	p    *Prover
	work wdpost.Work
	typ  abi.RegisteredPoStProof
	list []*part
	news chan struct{} // holds a signal when a task went on
	made chan local
	busy bool // a partition is being proven here
	// until is when workers' time is over.
	until time.Time
}

// part is a partition of the proof.
type part struct {
	first   int
	sectors []proof.SectorInfo
	key     string

	task   string            // the id of its task, "" while it is not offered
	fence  uint64            // of the lease that was seen last, 0 when there was none
	failed map[string]string // hosts that were to prove it and did not, and why
	here   bool              // it is being proven here
	before []string
	proven // proof comes last; host is who has it
}

// local is what came of a partition that was proven here.
type local struct {
	part   *part
	proofs []proof.PoStProof
	faulty []abi.SectorNumber
	took   time.Duration
	err    error
}

// open tells of a partition that nobody is at.
func (pt *part) open() bool { return pt.proof == nil && pt.task == "" && !pt.here }

// offer offers what is not proven to workers; false when none of them could do any of it.
func (r *run) offer(ctx context.Context) (any bool) {
	for _, pt := range r.list {
		if !pt.open() {
			any = any || pt.proof != nil
			continue
		}
		t, ok := r.task(pt)
		if !ok {
			continue
		}
		shunned := r.p.shunned()
		maps.Copy(shunned, pt.failed)
		could, err := r.p.parts.Queue.Offer(ctx, task.Offer{Task: t, Refused: shunned, Spared: true, Changed: r.wake})
		if err != nil {
			log.Warnf("a window proof is not offered to workers: %v", err)
		}
		if could {
			pt.task, pt.fence, any = t.ID, 0, true
		}
	}
	return any
}

func (r *run) wake() {
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// task is the task of a partition; false when its files lie where no worker can have them.
func (r *run) task(pt *part) (worker.Task, bool) {
	w := worker.Window{Miner: r.p.cfg.Miner, Randomness: r.work.Randomness, First: pt.first}
	t := worker.Task{ID: r.p.taskID(), Kind: sched.WindowPoSt, SealProof: pt.sectors[0].SealProof, Attempt: 1}
	for _, s := range pt.sectors {
		files, dirs, ok := r.p.parts.Here.Find(s)
		if !ok {
			return t, false
		}
		w.Sectors = append(w.Sectors, worker.WindowSector{Number: s.SectorNumber, Proof: s.SealProof, CommR: s.SealedCID, Files: files})
		for _, d := range dirs {
			if !slices.Contains(t.Reads, d) {
				t.Reads = append(t.Reads, d)
			}
		}
	}
	slices.Sort(t.Reads)
	var err error
	t.Input, err = json.Marshal(w)
	return t, err == nil
}

// run waits for workers for as long as patience lasts, and proves here what they do not.
func (r *run) run(ctx context.Context, patience time.Duration) (wdpost.Made, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends what is being proven here
	r.until = r.p.parts.Clock.Now().Add(patience)
	late := r.p.parts.Clock.NewTimer(patience)
	defer late.Stop()
	for {
		made, ended, err := r.collect(ctx)
		if ended || err != nil {
			return made, err
		}
		if err := r.stranded(ctx); err != nil {
			return made, err
		}
		var slot chan<- struct{}
		if r.wanted() {
			slot = r.p.slots
		}
		select {
		case slot <- struct{}{}:
			r.begin(ctx)
		case l := <-r.made:
			if made, ended, err := r.take(l); ended || err != nil {
				return made, err
			}
		case <-r.news:
		case <-late.C():
			r.late(ctx, patience)
			if r.p.cfg.Mode == Only {
				return wdpost.Made{}, fmt.Errorf("workers did not make a window proof within %s, and Proving.Workers = \"only\" keeps this sealer from it: %s", patience.Round(time.Millisecond), r.before())
			}
		case <-ctx.Done():
			return wdpost.Made{}, ctx.Err()
		}
	}
}

// collect takes what workers made. It ends when all is proven, or faults were found.
func (r *run) collect(ctx context.Context) (wdpost.Made, bool, error) {
	for _, pt := range r.list {
		if pt.task == "" {
			continue
		}
		e, ok := r.p.parts.Queue.Offered(pt.task)
		if !ok {
			pt.task = ""
			continue
		}
		if pt.fence > 0 && (e.State == task.Queued || e.Task.Fence != pt.fence) {
			r.fault(pt, Lost, "it fell silent, or gave it back")
			pt.fence = 0
		}
		switch e.State {
		case task.Leased:
			pt.host, pt.fence = e.Host, e.Task.Fence
			continue
		case task.Queued:
			continue
		}
		pt.host, pt.took = e.Host, r.p.parts.Clock.Now().Sub(e.Started)
		r.p.parts.Queue.Withdraw(ctx, pt.task, false)
		pt.task = ""
		faulty, outcome, why, err := r.judge(ctx, pt, e)
		if err != nil {
			return wdpost.Made{}, false, err
		}
		if outcome != Proven {
			r.p.pass(pt.host, why)
			r.fault(pt, outcome, why)
			continue
		}
		r.p.parts.Told(pt.host, Proven, pt.took)
		if len(faulty) > 0 {
			return r.faults(pt, e.Result.Proof, faulty), true, nil
		}
		pt.proof = e.Result.Proof
		r.p.keep(pt.key, pt.proven)
	}
	if slices.ContainsFunc(r.list, func(pt *part) bool { return pt.proof == nil }) {
		return wdpost.Made{}, false, nil
	}
	return r.whole(), true, nil
}

// judge looks into what a worker made of a partition.
func (r *run) judge(ctx context.Context, pt *part, e task.Entry) (faulty []abi.SectorNumber, outcome, why string, err error) {
	if e.State == task.Failed {
		return nil, Failed, e.Reason, nil
	}
	rest := slices.Clone(pt.sectors)
	if claimed := e.Result.Faulty; len(claimed) > 0 {
		isClaimed := func(s proof.SectorInfo) bool { return slices.Contains(claimed, s.SectorNumber) }
		var list []proof.SectorInfo
		for _, s := range rest {
			if isClaimed(s) {
				list = append(list, s)
			}
		}
		// Disks that hang must not take the time that a proof needs.
		looking, cancel := context.WithTimeout(ctx, max(r.until.Sub(r.p.parts.Clock.Now()), time.Second))
		defer cancel()
		bad, err := r.p.parts.Here.Look(looking, list)
		if err != nil && looking.Err() != nil && ctx.Err() == nil {
			return nil, Late, fmt.Sprintf("it cannot prove %d sectors, and looking at them from the sealer takes too long", len(list)), nil
		}
		if err != nil {
			return nil, "", "", fmt.Errorf("look at sectors that the worker on %s cannot prove: %w", e.Host, err)
		}
		for _, n := range claimed {
			if bad[n] == "" {
				return nil, Refused, fmt.Sprintf("it cannot prove sector %d, which is well as seen from the sealer", n), nil
			}
		}
		faulty, rest = claimed, slices.DeleteFunc(rest, isClaimed)
	}
	if len(e.Result.Proof) == 0 && len(faulty) > 0 {
		return faulty, Proven, "", nil
	}
	ok, err := r.p.parts.Verifier.VerifyWindowPoStFrom(ctx, pt.first, proof.WindowPoStVerifyInfo{
		Randomness: slices.Clone(r.work.Randomness), Proofs: r.proofs(e.Result.Proof), ChallengedSectors: rest, Prover: r.p.cfg.Miner,
	})
	switch {
	case err != nil:
		return nil, "", "", fmt.Errorf("check the window proof of the worker on %s: %w", e.Host, err)
	case !ok:
		return nil, Refused, "its proof does not hold", nil
	}
	return faulty, Proven, "", nil
}

// faults ends a run: all partitions after one that leaves sectors out are other ones.
func (r *run) faults(pt *part, b []byte, faulty []abi.SectorNumber) wdpost.Made {
	out := wdpost.Made{Faulty: faulty}
	if len(r.list) == 1 && len(b) > 0 {
		out.Proofs = r.proofs(b)
		out.Parts = []wdpost.Part{{Host: pt.host, Sectors: len(pt.sectors) - len(faulty), Took: pt.took, Before: strings.Join(pt.before, "; ")}}
	}
	return out
}

func (r *run) proofs(b []byte) []proof.PoStProof {
	return []proof.PoStProof{{PoStProof: r.typ, ProofBytes: b}}
}

// whole puts the parts together.
func (r *run) whole() wdpost.Made {
	var (
		out wdpost.Made
		all []byte
	)
	for _, pt := range r.list {
		all = append(all, pt.proof...)
		out.Parts = append(out.Parts, wdpost.Part{Host: pt.host, Sectors: len(pt.sectors), Took: pt.took, Before: strings.Join(pt.before, "; ")})
	}
	out.Proofs = r.proofs(all)
	return out
}

// fault notes that a worker did not prove a partition.
func (r *run) fault(pt *part, outcome, why string) {
	log.Warnw("a window proof is left to others", "task", pt.task, "host", pt.host, "outcome", outcome, "why", why)
	r.p.parts.Told(pt.host, outcome, pt.took)
	pt.before = append(pt.before, fmt.Sprintf("%s: %s", pt.host, why))
	if outcome != Lost {
		if pt.failed == nil {
			pt.failed = map[string]string{}
		}
		pt.failed[pt.host] = why
	}
	pt.host, pt.took = "", 0
}

func (r *run) before() string {
	var out []string
	for _, pt := range r.list {
		out = append(out, pt.before...)
	}
	return strings.Join(out, "; ")
}

// stranded offers again what a worker failed at, where this machine shall not prove it.
func (r *run) stranded(ctx context.Context) error {
	if r.p.cfg.Mode != Only || !slices.ContainsFunc(r.list, (*part).open) {
		return nil
	}
	r.offer(ctx)
	if slices.ContainsFunc(r.list, (*part).open) {
		return fmt.Errorf("no worker is here that could make the window proof, and Proving.Workers = \"only\" keeps this sealer from it: %s", r.before())
	}
	return nil
}

// wanted tells whether this machine should prove a partition now: what nobody is at, and what no worker has begun.
func (r *run) wanted() bool {
	return r.p.cfg.Mode != Only && !r.busy && slices.ContainsFunc(r.list, func(pt *part) bool {
		e, ok := r.p.parts.Queue.Offered(pt.task)
		return pt.open() || ok && e.State == task.Queued
	})
}

// begin proves a partition here, in the slot that was taken.
func (r *run) begin(ctx context.Context) {
	i := slices.IndexFunc(r.list, (*part).open)
	if i < 0 {
		i = slices.IndexFunc(r.list, func(pt *part) bool { return pt.task != "" && r.p.parts.Queue.Withdraw(ctx, pt.task, true) })
	}
	if i < 0 { // workers took it all meanwhile
		<-r.p.slots
		return
	}
	pt := r.list[i]
	pt.task, pt.here, r.busy = "", true, true
	go func() {
		l := local{part: pt}
		start := r.p.parts.Clock.Now()
		defer func() {
			if x := recover(); x != nil {
				l.err = fmt.Errorf("the prover panicked: %v", x)
			}
			l.took = r.p.parts.Clock.Now().Sub(start)
			<-r.p.slots
			r.made <- l // there is room: one is proven here at a time
		}()
		l.proofs, l.faulty, l.err = r.p.parts.Here.WindowPoStFrom(ctx, pt.first, pt.sectors, r.work.Randomness)
	}()
}

// take takes what was made here.
func (r *run) take(l local) (wdpost.Made, bool, error) {
	pt := l.part
	pt.here, pt.host, pt.took, r.busy = false, "", l.took, false
	r.p.tookHere(l.took, 1, l.err)
	var b []byte
	if len(l.proofs) > 0 {
		b = l.proofs[0].ProofBytes
	}
	if len(l.faulty) > 0 {
		return r.faults(pt, b, l.faulty), true, nil
	}
	if l.err != nil {
		return wdpost.Made{}, false, l.err
	}
	pt.proof = b
	r.p.keep(pt.key, pt.proven)
	return wdpost.Made{}, false, nil
}

// late takes back what workers have not made in time.
func (r *run) late(ctx context.Context, patience time.Duration) {
	for _, pt := range r.list {
		if pt.task == "" {
			continue
		}
		e, ok := r.p.parts.Queue.Offered(pt.task)
		if ok && e.State != task.Queued && e.State != task.Leased {
			continue // it came at the last moment
		}
		r.p.parts.Queue.Withdraw(ctx, pt.task, false)
		if ok && e.State == task.Leased {
			pt.host, pt.took = e.Host, r.p.parts.Clock.Now().Sub(e.Started)
			why := fmt.Sprintf("it did not make a window proof within %s", patience.Round(time.Millisecond))
			r.p.pass(pt.host, why)
			r.fault(pt, Late, why)
		}
		pt.task = ""
	}
}

// withdraw takes back all that is still offered.
func (r *run) withdraw(ctx context.Context) {
	for _, pt := range r.list {
		if pt.task != "" {
			r.p.parts.Queue.Withdraw(context.WithoutCancel(ctx), pt.task, false)
		}
	}
}
