package node

import (
	"context"
	"fmt"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/repo"
)

// keepRoom sets up the reserve of the disk, before any store is opened: opening them takes room too, and a store that is
// killed while it opens is no better off than one killed at work.
func (n *Node) keepRoom(r *repo.Repo, cfg FileConfig, o Options) error {
	free := o.free
	if free == nil {
		free = fsutil.FreeOn(r.Root())
	}
	n.disk = fsutil.NewReserve(free, cfg.Disk.ReserveMiB<<20, func(err error) {
		if err != nil {
			log.Errorw("nothing is written any more until there is room", "directory", r.Root(), "reason", err)
			return
		}
		log.Infow("there is room again, writing goes on", "directory", r.Root())
	})
	if err := n.disk.Room(); err != nil {
		return api.Errorf(api.CodePrecondition, "%w", err).
			WithHint("make room on the disk of %s, or keep less free with disk.reserveMiB in %s", r.Root(), r.Path(configName))
	}
	return nil
}

func (v vitals) hasRoom(context.Context) (string, error) {
	if err := v.room.Room(); err != nil {
		return "", fmt.Errorf("nothing is written: %w", err)
	}
	free, err := v.room.Free()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d MiB left", free>>20), nil
}
