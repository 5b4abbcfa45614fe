package prover

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"github.com/filecoin-venus/venus/crypto/wide"
	"github.com/filecoin-venus/venus/proofs/groth16"
)

// section is a list of points in a parameter file.
type section int

const (
	sectionH section = iota
	sectionL
	sectionA
	sectionB1
	sectionB2
	sections
)

var sectionNames = [sections]string{"H", "L", "A", "B in G1", "B in G2"}

const (
	sizeG1 = bls.SizeOfG1AffineUncompressed
	sizeG2 = bls.SizeOfG2AffineUncompressed
)

// Params is an open parameter file. Its lists are read when needed and forgotten after use, because those of a proof of
// replication do not fit together into a modest machine's memory.
type Params struct {
	Key    *groth16.VerifyingKey
	file   io.ReaderAt
	close  func() error
	offset [sections]int64
	count  [sections]int
}

// OpenParams opens a parameter file and finds its lists. Points are not checked to lie in their groups: open only files
// whose digest was checked, or that this machine made.
func OpenParams(path string) (*Params, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("proof parameters: %w", err)
	}
	info, err := f.Stat()
	if err == nil {
		p := &Params{file: f, close: f.Close}
		if err = p.scan(info.Size()); err == nil {
			return p, nil
		}
	}
	f.Close()
	return nil, fmt.Errorf("proof parameters %s: %w", path, err)
}

// Close closes the file.
func (p *Params) Close() error { return p.close() }

// scan finds the lists in a file of the given size.
func (p *Params) scan(size int64) error {
	var err error
	if p.Key, err = groth16.ReadVerifyingKey(bufio.NewReader(io.NewSectionReader(p.file, 0, size))); err != nil {
		return err
	}
	at := int64(len(p.Key.Bytes()))
	for s := range sections {
		var n [4]byte
		if _, err := p.file.ReadAt(n[:], at); err != nil {
			return fmt.Errorf("length of list %s: %w", sectionNames[s], err)
		}
		point := int64(sizeG1)
		if s == sectionB2 {
			point = sizeG2
		}
		p.offset[s], p.count[s] = at, int(binary.BigEndian.Uint32(n[:]))
		at += 4 + point*int64(p.count[s])
		if at > size {
			return fmt.Errorf("list %s of %d points goes past the end of the file: %w", sectionNames[s], p.count[s], groth16.ErrEncoding)
		}
	}
	if at != size {
		return fmt.Errorf("%d bytes after the last list: %w", size-at, groth16.ErrEncoding)
	}
	return nil
}

// sum adds up the points of a list of G1, each times its scalar, without ever holding more than a part of the list.
func (p *Params) sum(s section, scalars []fr.Element) (bls.G1Jac, error) {
	if len(scalars) != p.count[s] {
		return bls.G1Jac{}, fmt.Errorf("%d scalars for list %s of %d points", len(scalars), sectionNames[s], p.count[s])
	}
	sum := wide.NewSum(len(scalars))
	raw := make([]byte, min(wide.Chunk, len(scalars))*sizeG1)
	at := p.offset[s] + 4
	for len(scalars) > 0 {
		n := min(wide.Chunk, len(scalars))
		part := raw[:n*sizeG1]
		if _, err := p.file.ReadAt(part, at); err != nil {
			return bls.G1Jac{}, fmt.Errorf("proof parameters, list %s: %w", sectionNames[s], err)
		}
		if err := sum.Add(part, scalars[:n]); err != nil {
			return bls.G1Jac{}, fmt.Errorf("proof parameters, list %s: %w", sectionNames[s], err)
		}
		at, scalars = at+int64(len(part)), scalars[n:]
	}
	return sum.Total(), nil
}

// loadG2 reads the list of G2; the library's slice encoding is the file's: a 32-bit length and uncompressed points.
func (p *Params) loadG2() ([]bls.G2Affine, error) {
	var out []bls.G2Affine
	r := io.NewSectionReader(p.file, p.offset[sectionB2], 4+sizeG2*int64(p.count[sectionB2]))
	dec := bls.NewDecoder(bufio.NewReaderSize(r, 1<<20), bls.NoSubgroupChecks())
	if err := dec.Decode(&out); err != nil {
		return nil, fmt.Errorf("proof parameters, list %s: %w", sectionNames[sectionB2], err)
	}
	return out, nil
}
