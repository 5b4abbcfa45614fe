package machine

import (
	"fmt"
	"io"
	"os"
)

// block is how much is written and read at a time.
const block = mib

// disk measures a file in the folder: written and fsynced, then read as a stream and node by node. The operating system
// forgets it in between where it can be told to; elsewhere reading is as fast as memory, and the file must be larger.
func (m *measurer) disk(r *Rates) (err error) {
	f, err := os.CreateTemp(m.Dir, ".venus-bench-*")
	if err != nil {
		return fmt.Errorf("make a file to measure the disk: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	buf := make([]byte, block)
	for i := range buf {
		buf[i] = byte(i * 31 >> 3)
	}
	began := m.Clock.Now()
	for at := int64(0); at < m.DiskBytes; at += block {
		if err := m.ctx.Err(); err != nil {
			return err
		}
		buf[0]++
		if _, err := f.Write(buf); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	r.DiskWrite = float64(m.DiskBytes) / max(m.Clock.Now().Sub(began).Seconds(), 1e-9)
	forget(f)
	const seeks = 64
	began = m.Clock.Now()
	for i := range int64(seeks) {
		at := (i*7919*4096 + 17*4096) % (m.DiskBytes - node) // far apart, in no order
		if _, err := f.ReadAt(buf[:node], at); err != nil {
			return err
		}
	}
	r.DiskSeeks = seeks / max(m.Clock.Now().Sub(began).Seconds(), 1e-9)
	forget(f)
	began = m.Clock.Now()
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.NewSectionReader(f, 0, m.DiskBytes), buf); err != nil {
		return err
	}
	r.DiskRead = float64(m.DiskBytes) / max(m.Clock.Now().Sub(began).Seconds(), 1e-9)
	return nil
}
