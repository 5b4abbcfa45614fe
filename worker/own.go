package worker

import "strings"

// OwnPrefix begins the folder of a path that only one worker reaches, as the
// sealer calls it; the path's id follows (sealer/store).
const OwnPrefix = "worker:"

// What a sealer asks of the folders of tasks in such a path.
const (
	WorkAdopt  = "adopt"  // a Task whose outcome counted
	WorkRemove = "remove" // the name of a sector
)

// In is the task with its files where they lie on this machine.
func (t Task) In(own []Path) Task {
	for _, p := range own {
		for _, f := range []*string{&t.Files.Unsealed, &t.Files.Sealed, &t.Files.Cache, &t.Files.Update, &t.Files.UpdateCache} {
			if rest, ok := strings.CutPrefix(*f, OwnPrefix+p.ID+"/"); ok {
				*f = p.Dir + "/" + rest
			}
		}
	}
	return t
}

// Bare is the task without what only a prover needs.
func (t Task) Bare() Task {
	t.Input = nil
	return t
}

// Root is the storage path that the task's files lie in, "" when it has none.
func (t Task) Root() string { return t.root() }
