package worker

import (
	"os"
	"runtime"
	"strings"

	"github.com/google/uuid"
	"github.com/shirou/gopsutil/v4/mem"
)

// bootID is new at every start of a machine, and the same in all its containers.
const bootID = "/proc/sys/kernel/random/boot_id"

// Here describes a worker of this machine, all of its cores and memory; name is
// what people know it by, "" = the host's name. What cannot be found out stays
// untold.
func Here(prefix, name string) Info {
	i := Info{ID: prefix + uuid.NewString(), Hostname: name, CPUs: runtime.GOMAXPROCS(0)}
	host, err := os.Hostname()
	if err != nil {
		host = "this machine"
	}
	if i.Hostname == "" {
		i.Hostname = host
	}
	i.Machine = host
	if b, err := os.ReadFile(bootID); err == nil {
		i.Machine = strings.TrimSpace(string(b))
	}
	if m, err := mem.VirtualMemory(); err == nil {
		i.Memory = m.Total
	}
	return i
}
