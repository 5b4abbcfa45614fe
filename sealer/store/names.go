package store

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/filecoin-project/go-state-types/abi"
)

// FileType is a kind of sector file, as the field's bits.
type FileType int

// The kinds of files of a sector. Unsealed and sealed are files, cache a folder.
const (
	Unsealed FileType = 1
	Sealed   FileType = 2
	Cache    FileType = 4
)

// FileTypes lists the kinds.
func FileTypes() []FileType { return []FileType{Unsealed, Sealed, Cache} }

func (t FileType) String() string {
	switch t {
	case Unsealed:
		return "unsealed"
	case Sealed:
		return "sealed"
	case Cache:
		return "cache"
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
}

// FilesIn are the places of a sector's files in a folder.
func FilesIn(dir string, id abi.SectorID) Files { return filesIn(dir, id) }

func filesIn(dir string, id abi.SectorID) Files {
	n := SectorName(id)
	return Files{Unsealed: filepath.Join(dir, Unsealed.String(), n), Sealed: filepath.Join(dir, Sealed.String(), n), Cache: filepath.Join(dir, Cache.String(), n)}
}

func (f Files) of(t FileType) string {
	switch t {
	case Unsealed:
		return f.Unsealed
	case Sealed:
		return f.Sealed
	}
	return f.Cache
}

func (f *Files) set(t FileType, place string) {
	switch t {
	case Unsealed:
		f.Unsealed = place
	case Sealed:
		f.Sealed = place
	case Cache:
		f.Cache = place
	}
}
