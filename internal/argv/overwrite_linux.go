package argv

import (
	"bytes"
	"os"
	"strconv"
	"unsafe"
)

// overwrite puts crosses over a part of an argument. Go's arguments lie where the kernel put them, and it shows that memory
// in /proc; text that lies elsewhere is left alone, for it may be read-only.
func overwrite(s string) {
	from, to := area()
	at := uintptr(unsafe.Pointer(unsafe.StringData(s)))
	if at < from || at+uintptr(len(s)) > to {
		return
	}
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	for i := range b {
		b[i] = 'x'
	}
}

// area is where the kernel put the arguments: fields 48 and 49 of proc(5)'s stat.
func area() (from, to uintptr) {
	raw, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0, 0
	}
	// The second field, the program's name in brackets, may hold blanks.
	fields := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:])
	const begin = 48 - 3
	if len(fields) <= begin+1 {
		return 0, 0
	}
	return number(fields[begin]), number(fields[begin+1])
}

// number is 0 for what is none.
func number(b []byte) uintptr {
	n, _ := strconv.ParseUint(string(b), 10, 64)
	return uintptr(n)
}
