package messager

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/filecoin-venus/venus/internal/mariadb"
)

// withServers ends the databases that tests shared before goroutines are counted.
type withServers struct{ *testing.M }

func (m withServers) Run() int { return mariadb.Run(m.M) }

func TestMain(m *testing.M) {
	asChild()
	// Libraries start goroutines of their own when they are linked.
	goleak.VerifyTestMain(withServers{m}, goleak.IgnoreCurrent())
}
