// Package stores opens the store that a configuration names.
package stores

import (
	"context"
	"time"

	"github.com/filecoin-venus/venus/auth"
	"github.com/filecoin-venus/venus/auth/badgerstore"
	"github.com/filecoin-venus/venus/auth/mysqlstore"
)

// Open opens the MySQL database of c, or the badger one in dir.
func Open(ctx context.Context, dir string, c auth.DBConfig) (auth.Store, error) {
	if c.Type == auth.MySQL {
		return mysqlstore.Open(ctx, mysqlstore.Config{
			DSN: c.DSN, MaxOpenConns: c.MaxOpenConns, MaxIdleConns: c.MaxIdleConns,
			MaxLifeTime: time.Duration(c.MaxLifeTime), MaxIdleTime: time.Duration(c.MaxIdleTime),
		})
	}
	return badgerstore.Open(dir)
}
