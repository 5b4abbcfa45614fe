package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/params"
	keys "github.com/filecoin-venus/venus/proofs/params"
	"github.com/filecoin-venus/venus/proofs/prove"
	"github.com/filecoin-venus/venus/proofs/sdr"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// MainCircuits are the circuits that sectors of a size cannot live without: the proof of replication, the winning and the
// window PoSt; none for sizes that Filecoin does not have.
func MainCircuits(size abi.SectorSize) (out []keys.Circuit) {
	for t := abi.RegisteredSealProof_StackedDrg2KiBV1_1; t <= abi.RegisteredSealProof_StackedDrg64GiBV1_1; t++ {
		if s, err := shape.OfSeal(t); err == nil && s.Size == size {
			out = append(out, keys.PoRep(s))
		}
	}
	for t := abi.RegisteredPoStProof_StackedDrgWinning2KiBV1; t <= abi.RegisteredPoStProof_StackedDrgWindow64GiBV1; t++ {
		if p, err := shape.OfPoSt(t); err == nil && p.Size == size {
			out = append(out, keys.PoSt(p))
		}
	}
	return out
}

// AllCircuits are MainCircuits and that of replica updates.
func AllCircuits(size abi.SectorSize) []keys.Circuit {
	out := MainCircuits(size)
	for t := abi.RegisteredUpdateProof_StackedDrg2KiBV1; t <= abi.RegisteredUpdateProof_StackedDrg64GiBV1; t++ {
		if u, err := shape.OfUpdate(t); err == nil && u.Size == size {
			out = append(out, keys.Update(u))
		}
	}
	return out
}

// sizesOf are the sizes of the circuits' files, in the order of AllCircuits: verifying key, parameter file.
func (c Circuits) sizesOf() (out []uint64) {
	for _, x := range []Circuit{c.PoRep, c.Winning, c.Window, c.Update} {
		out = append(out, x.KeyBytes(), x.FileBytes())
	}
	return out
}

// FilesOptions say what to look for.
type FilesOptions struct {
	Network params.Network
	Sizes   []abi.SectorSize
	// ParamsDir and ParentCache are the caches; empty means the machine's.
	ParamsDir, ParentCache string
	// Check reads large files whole.
	Check bool
	// Step, when not nil, is told which file is looked at next; may take long with Check.
	Step func(path string)
}

// FilesFound are the files of a network in the caches of this machine.
type FilesFound struct {
	Network string `json:"network"`
	Devnet  bool   `json:"devnet"`
	// Cache and Parents are the folders.
	Cache   string     `json:"cache"`
	Parents string     `json:"parents"`
	Files   []FileSeen `json:"files"`
}

// FileSeen is a file, and the size that it must have; 0 if that is not known.
type FileSeen struct {
	keys.File
	Want uint64 `json:"want,omitempty"`
	// Optional files are not needed to seal and prove: they are Made when they are needed, or serve replica updates and
	// aggregates only.
	Optional bool `json:"optional"`
	Made     bool `json:"made"`
}

// Files looks for all files that sectors of the given sizes use.
func Files(ctx context.Context, o FilesOptions) (FilesFound, error) {
	lister, dir := keys.ListerOf(o.Network, o.ParamsDir)
	if o.ParentCache == "" {
		o.ParentCache = sdr.CacheDir()
	}
	out := FilesFound{Network: o.Network.Name, Devnet: o.Network.Devnet, Cache: dir, Parents: o.ParentCache}
	for _, size := range o.Sizes {
		want := circuitsOf[size].sizesOf()
		main := len(MainCircuits(size))
		for i, c := range AllCircuits(size) {
			if err := ctx.Err(); err != nil {
				return out, err
			}
			o.step(filepath.Join(dir, c.Name()))
			for k, f := range lister.Files(c, o.Check) {
				seen := FileSeen{File: f, Want: want[2*i+k], Optional: o.Network.Devnet || i >= main, Made: o.Network.Devnet}
				out.Files = append(out.Files, seen.sized())
			}
		}
		for _, version := range sealTypes(o.Network, size) {
			f, err := o.parents(ctx, version)
			if err != nil {
				return out, err
			}
			out.Files = append(out.Files, f)
		}
	}
	if official, ok := lister.(*keys.Official); ok {
		o.step(keys.AggregationFileName)
		out.Files = append(out.Files, FileSeen{File: official.AggregationState(o.Check), Optional: true})
	}
	return out, nil
}

func (o FilesOptions) step(path string) {
	if o.Step != nil {
		o.Step(path)
	}
}

// sized finds files of the wrong size, whose content need not be read.
func (f FileSeen) sized() FileSeen {
	if f.State != keys.StateMissing && f.Want > 0 && uint64(f.Bytes) != f.Want {
		f.State, f.Reason = keys.StateWrong, fmt.Sprintf("has %d bytes, want %d", f.Bytes, f.Want)
	}
	return f
}

// sealTypes are the proof types of new sectors of a size on a network; public networks have old sectors too.
func sealTypes(network params.Network, size abi.SectorSize) (out []abi.RegisteredSealProof) {
	for t := abi.RegisteredSealProof_StackedDrg2KiBV1; t <= abi.RegisteredSealProof_StackedDrg64GiBV1_1; t++ {
		if s, err := shape.OfSeal(t); err == nil && s.Size == size && (s.Version != shape.V1_0 || !network.Devnet) {
			out = append(out, t)
		}
	}
	return out
}

// parents looks at a parent cache, which has a digest of another kind: SHA-256.
func (o FilesOptions) parents(ctx context.Context, t abi.RegisteredSealProof) (FileSeen, error) {
	sh, err := shape.OfSeal(t)
	if err != nil {
		return FileSeen{}, err
	}
	graph := sdr.NewGraph(sh)
	f := FileSeen{Want: graph.Nodes() * parentBytes, Optional: true, Made: true}
	version := "V1"
	if sh.Version != shape.V1_0 {
		version = "V1_1"
	}
	f.Title = fmt.Sprintf("parent cache %s %s", sh.Size.ShortString(), version)
	f.Path = filepath.Join(o.ParentCache, graph.CacheName()+".cache")
	f.Digest, _ = graph.GoldenDigest()
	f.State = keys.StatePresent
	info, err := os.Stat(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.State = keys.StateMissing
		return f, nil
	case err != nil:
		f.State, f.Reason = keys.StateWrong, err.Error()
		return f, nil
	}
	f.Bytes = info.Size()
	if f = f.sized(); !o.Check || f.State == keys.StateWrong {
		return f, nil
	}
	o.step(f.Path)
	c, err := sdr.OpenCache(ctx, o.ParentCache, graph)
	if err != nil {
		f.State, f.Reason = keys.StateWrong, err.Error()
		return f, nil
	}
	f.State = keys.StateRight
	return f, c.Close()
}

// Missing counts the files that must be there before this machine can prove.
func (f FilesFound) Missing() (n int) {
	for _, x := range f.Files {
		if !x.Optional && (x.State == keys.StateMissing || x.State == keys.StateWrong) {
			n++
		}
	}
	return n
}

// MakeParams makes the parameter files of a private network's circuits that are missing or wrong; ready ones are read whole.
// Step is told of each circuit before.
func MakeParams(ctx context.Context, network params.Network, dir string, sizes []abi.SectorSize, step func(title string)) error {
	if !network.Devnet {
		return fmt.Errorf("network %s is public: its parameters come from Filecoin's ceremony and cannot be made: %w", network.Name, prove.ErrRefused)
	}
	if dir == "" {
		dir = keys.CacheDir()
	}
	p, err := prove.NewIn(dir, network, prove.CRS)
	if err != nil {
		return err
	}
	for _, size := range sizes {
		for _, c := range MainCircuits(size) {
			step(c.Title)
			if err := p.Warm(ctx, c); err != nil {
				return err
			}
		}
	}
	return nil
}
