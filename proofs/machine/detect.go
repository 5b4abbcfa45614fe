package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"

	"github.com/klauspost/cpuid/v2"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/mem"

	"github.com/filecoin-venus/venus/crypto/wide"
	"github.com/filecoin-venus/venus/proofs/poseidon"
	"github.com/filecoin-venus/venus/proofs/sdr"
)

// Host is the machine as it is found. Sizes are bytes.
type Host struct {
	CPU             string `json:"cpu"`
	Cores           int    `json:"cores"`
	Memory          uint64 `json:"memory"`
	MemoryAvailable uint64 `json:"memoryAvailable"`
	// Dir is the folder that disk needs are held against.
	Dir      string `json:"dir"`
	DiskFree uint64 `json:"diskFree"`
	// Fast tells which parts run on the processor's special instructions.
	Fast []Path `json:"fast"`
}

// Path is a part of the work that has a fast way on some processors.
type Path struct {
	Name  string `json:"name"`
	Needs string `json:"needs"`
	On    bool   `json:"on"`
}

// Detect looks at the machine, and at the disk of dir, which need not exist yet.
func Detect(dir string) (Host, error) {
	h := Host{CPU: cpuid.CPU.BrandName, Cores: runtime.GOMAXPROCS(0), Dir: dir, Fast: []Path{
		{"labels (PreCommit1, Unseal)", "SHA extensions", sdr.Fast()},
		{"parents (parent cache)", "AVX-512", sdr.FastParents()},
		{"Poseidon (PreCommit2, openings)", "AVX-512 IFMA", poseidon.Fast()},
		{"sums of points (crs proofs)", "AVX-512 IFMA", wide.Available()},
		{"verification (many at once)", "AVX-512 IFMA", wide.Available()},
	}}
	m, err := mem.VirtualMemory()
	if err != nil {
		return h, fmt.Errorf("ask for the machine's memory: %w", err)
	}
	h.Memory, h.MemoryAvailable = m.Total, m.Available
	for {
		usage, err := disk.Usage(dir)
		if err == nil {
			h.DiskFree = usage.Free
			return h, nil
		}
		up := filepath.Dir(dir)
		if !errors.Is(err, fs.ErrNotExist) || up == dir {
			return h, fmt.Errorf("ask for the space on the disk of %s: %w", h.Dir, err)
		}
		dir = up
	}
}

// Fits tells what a machine lacks for a sector size; both are 0 where there is enough.
type Fits struct {
	// Memory that is missing for the largest phase of sealing, by backend.
	MemoryTrapdoor uint64 `json:"memoryTrapdoor"`
	MemoryCRS      uint64 `json:"memoryCRS"`
	// Disk that is missing for one sector that is being sealed, with the parent cache.
	Disk uint64 `json:"disk"`
}

// FitsOn holds a need against a machine.
func (n Need) FitsOn(h Host) Fits {
	return Fits{
		MemoryTrapdoor: missing(n.Memory.Most(false), h.Memory),
		MemoryCRS:      missing(n.Memory.Most(true), h.Memory),
		Disk:           missing(n.Disk.Sealing+n.Disk.ParentCache, h.DiskFree),
	}
}

func missing(need, have uint64) uint64 { return need - min(need, have) }
