package params

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/filecoin-venus/venus/params"
)

// State is what lies in a cache in the place of a file.
type State string

// The states of a file. Present is of a file whose content was not read.
const (
	StateRight   State = "right"
	StatePresent State = "present"
	StateWrong   State = "wrong"
	StateMissing State = "missing"
)

// File is a file of a parameter cache.
type File struct {
	// Title is for people, such as "winning PoSt 2KiB, verifying key".
	Title string `json:"title"`
	Path  string `json:"path"`
	// Digest is the one that the file must have: of a public network the published one, of a private one that of the file
	// when it was made, empty before.
	Digest string `json:"digest,omitempty"`
	Bytes  int64  `json:"bytes"`
	State  State  `json:"state"`
	// Reason tells what is wrong.
	Reason string `json:"reason,omitempty"`
}

// smallFile is what is always read: verifying keys.
const smallFile = 16 << 20

// look finds out about a file whose digest must be want; large files are read only with check.
func look(title, path, want string, check bool) File {
	f := File{Title: title, Path: path, Digest: want}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.State = StateMissing
		return f
	case err != nil:
		f.State, f.Reason = StateWrong, err.Error()
		return f
	}
	f.Bytes = info.Size()
	if !check && f.Bytes > smallFile {
		f.State = StatePresent
		return f
	}
	got, err := digestOf(path)
	switch {
	case err != nil:
		f.State, f.Reason = StateWrong, err.Error()
	case want == "":
		f.State, f.Reason = StateWrong, "nothing tells what digest it should have"
	case got != want:
		f.State, f.Reason = StateWrong, "has digest "+got
	default:
		f.State = StateRight
	}
	return f
}

// Files are the verifying key and the parameter file of a circuit.
func (o *Official) Files(c Circuit, check bool) []File {
	key, _ := c.Digest("vk")
	file, _ := c.Digest("params")
	base := filepath.Join(o.dir, c.Name())
	return []File{look(c.Title+", verifying key", base+".vk", key, check), look(c.Title+", parameters", base+".params", file, check)}
}

// AggregationState is the file of commitment keys.
func (o *Official) AggregationState(check bool) File {
	return look("commitment keys of aggregates", filepath.Join(o.dir, AggregationFileName), aggregationDigest, check)
}

// Files are the verifying key and the parameter file of a circuit as they were kept; what is missing follows from the seed
// when it is needed.
func (d *Devnet) Files(c Circuit, check bool) []File {
	key, meta := d.paths(c)
	file := filepath.Join(d.dir, c.Name()+".params")
	return []File{
		look(c.Title+", verifying key", key, keptDigest(meta), check),
		look(c.Title+", parameters", file, keptDigest(file+".meta"), check),
	}
}

// keptDigest is the digest in a .meta file; empty if there is none.
func keptDigest(meta string) string {
	b, err := os.ReadFile(meta)
	if err != nil {
		return ""
	}
	digest := strings.TrimSpace(strings.TrimPrefix(string(b), metaHead))
	if metaText(digest) != string(b) {
		return ""
	}
	return digest
}

// Dir is the folder of the network's own files; empty if nothing is kept.
func (d *Devnet) Dir() string { return d.dir }

// Lister lists the files of circuits in a cache.
type Lister interface {
	Files(c Circuit, check bool) []File
}

// ListerOf is the cache of a network in dir, empty for the machine's, and the folder where its files are.
func ListerOf(network params.Network, dir string) (Lister, string) {
	if dir == "" {
		dir = CacheDir()
	}
	if network.Devnet {
		d := NewDevnet(network.ProofSeed, dir)
		return d, d.Dir()
	}
	return NewOfficial(dir), dir
}
