package config

import (
	"fmt"
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
	User            string          `toml:"User" comment:"what opens the cluster, one of: User with PasswordFile, TokenFile, CredentialsFile, NKeyFile. Workers are given it when they join, unless they have their own"`
	PasswordFile    string          `toml:"PasswordFile" comment:"file with the user's password"`
	TokenFile       string          `toml:"TokenFile" comment:"file with the cluster's token"`
	CredentialsFile string          `toml:"CredentialsFile" comment:"file with credentials (.creds)"`
	NKeyFile        string          `toml:"NKeyFile" comment:"file with the seed of an nkey"`
	CAFile          string          `toml:"CAFile" comment:"certificate authorities of the cluster, PEM; empty = those of the system"`
	CertFile        string          `toml:"CertFile" comment:"client certificate, PEM, for clusters that want one; workers have their own (venus-worker run --nats-cert)"`
	KeyFile         string          `toml:"KeyFile"`
	Replicas        int             `toml:"Replicas" comment:"servers of the cluster that keep each stream, 0 = 3"`
	Needs           map[string]Need `toml:"Needs,omitempty" comment:"what tasks take, by kind (AP PC1 PC2 C1 C2 FIN RU PRU WDP WNP); what is not named has the value for the sector size"`
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
	l, err := bus.Files{
		User: w.User, PasswordFile: w.PasswordFile, TokenFile: w.TokenFile, CredentialsFile: w.CredentialsFile, NKeyFile: w.NKeyFile,
		CAFile: w.CAFile, CertFile: w.CertFile, KeyFile: w.KeyFile,
	}.Read(func(setting string) string { return "Workers." + setting })
	l.URLs = w.NATS
	return l, err
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
