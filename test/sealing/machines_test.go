package sealing

import (
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/stretchr/testify/require"
)

// machines are the workers of a world, each with one core: venus-worker programs, or this binary in a role that no program
// has. They end with the test.
type machines struct {
	w       *world
	log     string // of all of them
	program string

	mu      sync.Mutex
	running []*process
}

func newMachines(w *world) *machines {
	m := &machines{w: w, log: filepath.Join(w.dir, "workers.log"), program: filepath.Join(w.dir, "venus-worker")}
	w.t.Cleanup(func() {
		m.kill()
		if w.t.Failed() {
			w.t.Logf("the workers' log ends with\n%s", tail(m.log))
		}
	})
	return m
}

// build makes the program.
func (m *machines) build() *machines {
	built, err := exec.Command("go", "build", "-o", m.program, "../../cmd/venus-worker").CombinedOutput()
	require.NoError(m.w.t, err, "%s", built)
	return m
}

// run is the command line of venus-worker; `run` goes on in the background.
func (m *machines) run(args ...string) (string, int) {
	cmd := exec.Command(m.program, args...)
	if args[0] == "run" {
		m.add(spawn(m.w.t, m.log, cmd))
		return "", 0
	}
	cmd.SysProcAttr = dieWithParent()
	out, _ := cmd.CombinedOutput() // the exit code tells
	return string(out), cmd.ProcessState.ExitCode()
}

// join starts the program as a worker of the world's sealer.
func (m *machines) join(name string, flags ...string) *process {
	token := "@" + filepath.Join(m.w.dir, "sealer", "token")
	args := append([]string{"run", "--name", name, "--cores", "1", "--sealer", m.w.s.Address, "--token", token}, flags...)
	return m.add(spawn(m.w.t, m.log, exec.Command(m.program, args...)))
}

// hire starts a worker of the world's sealer in a role.
func (m *machines) hire(r role) *process {
	r.Sealer, r.Token = m.w.s.Address, m.w.token
	return m.add(start(m.w.t, m.log, r))
}

func (m *machines) add(p *process) *process {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running = append(m.running, p)
	return p
}

// kill is kill -9 of all.
func (m *machines) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.running {
		p.kill()
	}
}
