package config

import (
	"fmt"
	"os"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/sealer/sched"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/sealer/task"
	"github.com/filecoin-venus/venus/worker/bus"
)

// Workers are the settings of tasks across machines.
type Workers struct {
	NATS            []string        `toml:"NATS" comment:"URLs of an existing NATS cluster with JetStream; empty = the sealer's own server, which workers reach through the API's address"`
	TokenFile       string          `toml:"TokenFile" comment:"file with the cluster's token; workers are given it when they join"`
	CredentialsFile string          `toml:"CredentialsFile" comment:"file with the cluster's credentials (.creds); workers are given them when they join"`
	CAFile          string          `toml:"CAFile" comment:"certificate authorities of the cluster, PEM"`
	CertFile        string          `toml:"CertFile" comment:"client certificate, PEM, for clusters that want one; workers have their own (venus-worker run --nats-cert)"`
	KeyFile         string          `toml:"KeyFile"`
	Replicas        int             `toml:"Replicas" comment:"servers of the cluster that keep each stream, 0 = 3"`
	Needs           map[string]Need `toml:"Needs,omitempty" comment:"what tasks take, by kind (AP PC1 PC2 C1 C2 FIN WDP WNP); what is not named has the value for the sector size"`
}

// Need overrides what a task takes. Sizes are text such as 64GiB, "" leaves the
// value for the sector size; so does Cores = 0.
type Need struct {
	Cores  int    `toml:"Cores,omitempty"`
	Memory string `toml:"Memory,omitempty"`
	Disk   string `toml:"Disk,omitempty"`
}

// Over lays the overrides over what tasks of a sector size take.
func (w Workers) Over(size abi.SectorSize, crs bool) (task.Needs, error) {
	out := task.DefaultNeeds(size, crs)
	for name, o := range w.Needs {
		kind := sector.TaskKind(strings.ToUpper(name))
		have, known := out[kind]
		if !known {
			return nil, fmt.Errorf("Workers.Needs.%s: no task is called that, want some of %s %s %s", name, strings.Join(taskNames(), " "), sched.WindowPoSt, sched.WinningPoSt)
		}
		if o.Cores < 0 {
			return nil, fmt.Errorf("Workers.Needs.%s: Cores = %d, want a number of cores", name, o.Cores)
		}
		if o.Cores > 0 {
			have.Cores = o.Cores
		}
		for _, x := range []struct {
			text string
			into *uint64
		}{{o.Memory, &have.Memory}, {o.Disk, &have.Disk}} {
			if x.text == "" {
				continue
			}
			n, err := humanize.ParseBytes(x.text)
			if err != nil {
				return nil, fmt.Errorf("Workers.Needs.%s: %q is no size, write 64GiB", name, x.text)
			}
			*x.into = n
		}
		out[kind] = have
	}
	return out, nil
}

// Login reads what opens the cluster.
func (w Workers) Login() (bus.Login, error) {
	l := bus.Login{URLs: w.NATS, Cert: w.CertFile, Key: w.KeyFile}
	for name, x := range map[string]struct {
		file string
		into *string
	}{"TokenFile": {w.TokenFile, &l.Token}, "CredentialsFile": {w.CredentialsFile, &l.Credentials}, "CAFile": {w.CAFile, &l.CA}} {
		if x.file == "" {
			continue
		}
		b, err := os.ReadFile(x.file)
		if err != nil {
			return l, fmt.Errorf("Workers.%s: %w", name, err)
		}
		*x.into = strings.TrimSpace(string(b))
	}
	return l, nil
}

// TaskLimits are how many tasks of a kind this process runs at once.
func (s Sealing) TaskLimits() (map[sector.TaskKind]int, error) {
	out := map[sector.TaskKind]int{}
	for name, n := range s.Limits {
		kinds, err := (Sealing{Tasks: []string{name}}).Kinds()
		if err != nil {
			return nil, fmt.Errorf("Sealing.Limits: %w", err)
		}
		out[kinds[0]] = n
	}
	return out, nil
}
