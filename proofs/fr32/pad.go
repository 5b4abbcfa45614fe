package fr32

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Block sizes of the padding: RawBlock user bytes become PaddedBlock bytes, four nodes.
const (
	RawBlock    = 127
	PaddedBlock = 128
)

// ErrLength marks input that is no whole number of blocks.
var ErrLength = errors.New("length is no whole number of Fr32 blocks")

// ErrPadding marks padded data whose two highest bits of a node are not zero.
var ErrPadding = errors.New("padded data has a node above 254 bits")

// topMask keeps the 62 bits of a node's last word.
const topMask = 1<<62 - 1

// Pad writes the padded form of src to dst; len(src) must be a multiple of 127 and dst have 128 bytes for each 127.
// Bit i of the raw stream (least significant first) goes to bit i%254 of node i/254.
func Pad(dst, src []byte) error {
	n := len(src) / RawBlock
	if len(src) != n*RawBlock || len(dst) != n*PaddedBlock {
		return fmt.Errorf("pad %d bytes to %d: %w", len(src), len(dst), ErrLength)
	}
	var buf [RawBlock + 9]byte
	for i := range n {
		copy(buf[:RawBlock], src[i*RawBlock:])
		out := dst[i*PaddedBlock : (i+1)*PaddedBlock]
		for w := range 16 {
			at := 254*(w/4) + 64*(w%4)
			b, s := at/8, uint(at%8)
			v := binary.LittleEndian.Uint64(buf[b:])>>s | uint64(buf[b+8])<<(64-s)
			if w%4 == 3 {
				v &= topMask
			}
			binary.LittleEndian.PutUint64(out[8*w:], v)
		}
	}
	return nil
}

// Unpad is the inverse of Pad; set padding bits are an ErrPadding.
func Unpad(dst, src []byte) error {
	n := len(src) / PaddedBlock
	if len(src) != n*PaddedBlock || len(dst) != n*RawBlock {
		return fmt.Errorf("unpad %d bytes to %d: %w", len(src), len(dst), ErrLength)
	}
	var buf [PaddedBlock + 8]byte
	for i := range n {
		in := src[i*PaddedBlock : (i+1)*PaddedBlock]
		clear(buf[:])
		for w := range 16 {
			v := binary.LittleEndian.Uint64(in[8*w:])
			if w%4 == 3 && v > topMask {
				return fmt.Errorf("unpad node %d: %w", 4*i+w/4, ErrPadding)
			}
			at := 254*(w/4) + 64*(w%4)
			b, s := at/8, uint(at%8)
			binary.LittleEndian.PutUint64(buf[b:], binary.LittleEndian.Uint64(buf[b:])|v<<s)
			buf[b+8] |= byte(v >> (64 - s))
		}
		copy(dst[i*RawBlock:(i+1)*RawBlock], buf[:RawBlock])
	}
	return nil
}

// UnpaddedSize is the number of user bytes in padded bytes, a multiple of 128.
func UnpaddedSize(padded uint64) uint64 { return padded / PaddedBlock * RawBlock }

// PaddedSize is the number of padded bytes of raw user bytes, a multiple of 127.
func PaddedSize(raw uint64) uint64 { return raw / RawBlock * PaddedBlock }

const chunkBlocks = 512

// Padder is a writer that pads what is written and passes whole blocks on; Close zero-fills the last block.
type Padder struct {
	w    io.Writer
	buf  []byte
	out  [chunkBlocks * PaddedBlock]byte
	done uint64
}

// NewPadder pads to w.
func NewPadder(w io.Writer) *Padder {
	return &Padder{w: w, buf: make([]byte, 0, chunkBlocks*RawBlock)}
}

// Write takes user bytes.
func (p *Padder) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		k := min(len(b), cap(p.buf)-len(p.buf))
		p.buf = append(p.buf, b[:k]...)
		b = b[k:]
		if len(p.buf) == cap(p.buf) {
			if err := p.flush(); err != nil {
				return n - len(b), err
			}
		}
	}
	return n, nil
}

// Padded is the number of padded bytes passed on so far.
func (p *Padder) Padded() uint64 { return p.done }

// Close fills the last block with zeros and passes it on; it does not close the writer below.
func (p *Padder) Close() error {
	if rest := len(p.buf) % RawBlock; rest > 0 {
		p.buf = append(p.buf, make([]byte, RawBlock-rest)...)
	}
	return p.flush()
}

func (p *Padder) flush() error {
	out := p.out[:PaddedSize(uint64(len(p.buf)))]
	if err := Pad(out, p.buf); err != nil {
		return err
	}
	p.buf = p.buf[:0]
	n, err := p.w.Write(out)
	p.done += uint64(n)
	if err != nil {
		return fmt.Errorf("write padded data: %w", err)
	}
	return nil
}

// Unpadder reads user bytes from a stream of padded bytes.
type Unpadder struct {
	r   io.Reader
	in  [chunkBlocks * PaddedBlock]byte
	out [chunkBlocks * RawBlock]byte
	// ready are the user bytes not yet read.
	ready []byte
	err   error
}

// NewUnpadder unpads r, whose length must be a multiple of 128.
func NewUnpadder(r io.Reader) *Unpadder { return &Unpadder{r: r} }

// Read gives user bytes.
func (u *Unpadder) Read(b []byte) (int, error) {
	for len(u.ready) == 0 {
		if u.err != nil {
			return 0, u.err
		}
		n, err := io.ReadFull(u.r, u.in[:])
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = io.EOF
		}
		u.err = err
		out := u.out[:UnpaddedSize(uint64(n))]
		if perr := Unpad(out, u.in[:n]); perr != nil {
			u.err = perr
			return 0, perr
		}
		u.ready = out
	}
	n := copy(b, u.ready)
	u.ready = u.ready[n:]
	return n, nil
}
