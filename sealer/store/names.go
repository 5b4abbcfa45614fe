package store

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/filecoin-project/go-state-types/abi"
)

// FileType is a kind of sector file, as the field's bits.
type FileType int

// The kinds of files of a sector. The caches are folders, the others files. Update and update-cache are the sealed file
// and the cache of a sector that has taken data in.
const (
	Unsealed    FileType = 1
	Sealed      FileType = 2
	Cache       FileType = 4
	Update      FileType = 8
	UpdateCache FileType = 16
)

// FileTypes lists the kinds.
func FileTypes() []FileType { return []FileType{Unsealed, Sealed, Cache, Update, UpdateCache} }

// known tells whether the type is one of them.
func (t FileType) known() bool { return slices.Contains(FileTypes(), t) }

// folder tells whether files of the kind are folders.
func (t FileType) folder() bool { return t == Cache || t == UpdateCache }

func (t FileType) String() string {
	switch t {
	case Unsealed:
		return "unsealed"
	case Sealed:
		return "sealed"
	case Cache:
		return "cache"
	case Update:
		return "update"
	case UpdateCache:
		return "update-cache"
	}
	return fmt.Sprintf("file type %d", int(t))
}

// SectorName is the name of a sector's entries.
func SectorName(id abi.SectorID) string { return fmt.Sprintf("s-t0%d-%d", id.Miner, id.Number) }

var sectorName = regexp.MustCompile(`^s-[tf]0(\d{1,19})-(\d{1,19})$`)

// ParseSectorName reads a name that SectorName wrote.
func ParseSectorName(name string) (abi.SectorID, error) {
	m := sectorName.FindStringSubmatch(name)
	if m == nil {
		return abi.SectorID{}, fmt.Errorf("%q is not the name of a sector's file", name)
	}
	miner, err := strconv.ParseUint(m[1], 10, 63)
	if err != nil {
		return abi.SectorID{}, fmt.Errorf("miner in %q: %w", name, err)
	}
	n, err := strconv.ParseUint(m[2], 10, 63)
	if err != nil {
		return abi.SectorID{}, fmt.Errorf("number in %q: %w", name, err)
	}
	return abi.SectorID{Miner: abi.ActorID(miner), Number: abi.SectorNumber(n)}, nil
}

// Files are the absolute places of one sector's files.
type Files struct {
	Unsealed, Sealed, Cache string
	Update, UpdateCache     string
}

// FilesIn are the places of what sealing makes of a sector in a folder.
func FilesIn(dir string, id abi.SectorID) Files { return sealingFiles(dir, id) }

func filesIn(dir string, id abi.SectorID) (f Files) {
	for _, t := range FileTypes() {
		f.set(t, filepath.Join(dir, t.String(), SectorName(id)))
	}
	return f
}

// sealingTypes are the kinds that sealing makes.
func sealingTypes() []FileType { return []FileType{Unsealed, Sealed, Cache} }

// sealingFiles are the places of what sealing makes of a sector in a folder.
func sealingFiles(dir string, id abi.SectorID) Files { return filesIn(dir, id).Only(sealingTypes()...) }

// Only are the places of some kinds.
func (f Files) Only(types ...FileType) (out Files) {
	for _, t := range types {
		out.set(t, f.of(t))
	}
	return out
}

func (f Files) of(t FileType) string {
	if p := f.place(t); p != nil {
		return *p
	}
	return ""
}

func (f *Files) set(t FileType, place string) {
	if p := f.place(t); p != nil {
		*p = place
	}
}

func (f *Files) place(t FileType) *string {
	switch t {
	case Unsealed:
		return &f.Unsealed
	case Sealed:
		return &f.Sealed
	case Cache:
		return &f.Cache
	case Update:
		return &f.Update
	case UpdateCache:
		return &f.UpdateCache
	}
	return nil
}
