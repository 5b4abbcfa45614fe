package config

import (
	"fmt"
	"time"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/sealer/store"
)

// Storage are the settings of sector files. The paths themselves are in
// storage.json: storage attach.
type Storage struct {
	StopAtPercent     int    `toml:"StopAtPercent" comment:"a path that is so full takes no new files"`
	ReadOnlyAtPercent int    `toml:"ReadOnlyAtPercent" comment:"a path that is so full is not written at all"`
	ReadTimeout       string `toml:"ReadTimeout" comment:"a read that a disk does not answer for so long fails; writes may take ten times that"`
	LookEvery         string `toml:"LookEvery" comment:"how often the sealer looks whether a path went away or came back"`
}

// Options are the settings as the store takes them.
func (s Storage) Options(clk clock.Clock) (store.Options, error) {
	o := store.Options{StopAt: s.StopAtPercent, ReadOnlyAt: s.ReadOnlyAtPercent, Clock: clk}
	if s.StopAtPercent < 1 || s.ReadOnlyAtPercent > 100 || s.StopAtPercent > s.ReadOnlyAtPercent {
		return o, fmt.Errorf("Storage.StopAtPercent = %d, Storage.ReadOnlyAtPercent = %d: want percentages, the first not above the second", s.StopAtPercent, s.ReadOnlyAtPercent)
	}
	var err error
	o.Timeout, err = Span("Storage.ReadTimeout", s.ReadTimeout, 30*time.Second)
	return o, err
}
