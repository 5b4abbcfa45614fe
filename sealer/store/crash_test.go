package store

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/fault/faulttest"
)

// failpoints are all marks of this package.
func failpoints(t *testing.T) []string { return faulttest.Marks(t, 9, "*.go") }

// drill is everything that a store does durably, as steps that may be repeated.
type drill struct {
	t    *testing.T
	dir  string
	disk *badDisk
	s3   *s3Server
	s    *Store
}

func newDrill(t *testing.T, apart bool) *drill {
	d := &drill{t: t, dir: memory(t), disk: &badDisk{measure: func(string) (Stat, error) { return Stat{Capacity: 100 << 40, Available: 90 << 40}, nil }}, s3: newS3(t)}
	if apart {
		d.disk.rename = twoDisks
	}
	makePath(t, d.path("seal"), Meta{ID: "id-seal", Weight: 10, CanSeal: true})
	makePath(t, d.path("one"), Meta{ID: "id-one", Weight: 1000, CanStore: true})
	makePath(t, d.path("two"), Meta{ID: "id-two", Weight: 1, CanStore: true})
	d.restart()
	// The bucket's settings with a known id.
	vol, err := newBucket(entry{Path: "s3://sectors/farm", S3: &S3{Endpoint: d.s3.URL, Region: "us-east-1", Credentials: d.s3.credentials}}, &gate{clk: d.s.o.Clock, limit: d.s.o.Timeout}, 2<<10)
	require.NoError(t, err)
	require.NoError(t, vol.init(Meta{ID: "id-s3", Weight: 1, CanStore: true}))
	return d
}

func (d *drill) path(name string) string { return filepath.Join(d.dir, name) }

func (d *drill) restart() {
	var err error
	d.s, err = OpenWith(d.path("storage.json"), options(d.disk))
	require.NoError(d.t, err)
}

func (d *drill) move(id abi.SectorID, to string) error {
	if _, noted := d.s.intent(id); !noted {
		if _, _, err := d.s.held(to); err != nil {
			return err
		}
		here := true
		for _, x := range FileTypes() {
			if h, _ := d.s.copyOf(Decl{id, x}); h != nil && h.ID != to {
				here = false
			}
		}
		if here {
			return nil // the step was done before the crash
		}
		if err := d.s.Plan(id, to); err != nil {
			return err
		}
	}
	return d.s.Carry(context.Background(), id)
}

var id8 = abi.SectorID{Miner: 1000, Number: 8}

// steps in their order; each may be repeated after a crash in it.
func (d *drill) steps() []func() error {
	attach := func(spec Spec) func() error {
		return func() error { _, err := d.s.Attach(spec); return err }
	}
	place := func(id abi.SectorID) func() error {
		return func() error {
			f, err := d.s.Place(id, 2048)
			if err != nil {
				return err
			}
			fill(d.t, f, uint64(id.Number))
			d.s.Declare(id, f)
			return nil
		}
	}
	return []func() error{
		attach(Spec{Dir: d.path("seal")}), attach(Spec{Dir: d.path("one")}), attach(Spec{Dir: d.path("two")}), attach(d.s3.spec()),
		place(id7), place(id8),
		func() error { return d.s.Rest(context.Background(), id7, 2048) },
		func() error { return d.s.DropUnsealed(id7) },
		func() error { return d.s.Rest(context.Background(), id8, 2048) },
		func() error { return d.move(id7, "id-s3") },
		func() error { return d.move(id7, "id-two") },
		func() error { return d.move(id8, "id-s3") },
		func() error { return d.s.Remove(id8) },
		func() error {
			if _, _, err := d.s.held("id-seal"); err != nil {
				return nil // done before the crash
			}
			return d.s.Detach("id-seal")
		},
	}
}

// end is all that lies anywhere.
func (d *drill) end() map[string]string {
	out := tree(d.t, d.dir)
	maps.Copy(out, d.s3.objects(d.t))
	delete(out, "storage.json") // names folders of this run
	return out
}

// run does the steps, and restarts at the k-th passage of a mark. It tells whether
// there was one.
func (d *drill) run(point string, k int) bool {
	passed, hit := 0, false
	disarm := fault.Arm(point, func() error {
		if passed++; passed == k {
			hit = true
			return fault.ErrInjected
		}
		return nil
	})
	defer disarm()
	for i, step := range d.steps() {
		err := step()
		if err != nil && hit {
			require.ErrorIs(d.t, err, fault.ErrInjected)
			d.restart()
			if i > 6 {
				intact(d.t, d.s, id7, 7) // at no moment is a sector not there
			}
			err = step()
		}
		require.NoError(d.t, err, "step %d", i)
	}
	return hit
}

// TestCrashAtEveryPassage goes through every durable step with a crash at each
// passage of each mark: a restart that repeats the step ends with the same files.
func TestCrashAtEveryPassage(t *testing.T) {
	total, passed := 0, map[string]int{}
	for _, apart := range []bool{false, true} {
		want := map[string]string(nil)
		for _, point := range failpoints(t) { // every mark there is
			if !apart && point != "store/rename" && point != "store/index" {
				continue // the others are the same on one file system
			}
			hits := 0
			for k := 1; ; k++ {
				hit := false
				t.Run(fmt.Sprintf("%s/%d/apart=%t", strings.TrimPrefix(point, "store/"), k, apart), func(t *testing.T) {
					d := newDrill(t, apart)
					hit = d.run(point, k)
					got := d.end()
					if want == nil {
						want = got
						require.Len(t, got, 9, "%v", slices.Sorted(maps.Keys(got)))
					}
					require.Equal(t, want, got)
					intact(t, d.s, id7, 7)
					list, err := d.s.Garbage(func(abi.SectorID) Fate { return Settled })
					require.NoError(t, err)
					require.Empty(t, list)
				})
				if !hit || t.Failed() {
					break
				}
				hits++
			}
			total += hits
			passed[point] += hits
		}
	}
	for _, point := range failpoints(t) {
		require.Positive(t, passed[point], "no step passes the mark %s", point)
	}
	t.Logf("%d crashes", total)
}
