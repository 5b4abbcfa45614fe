package messager

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// Libraries start goroutines of their own when they are linked.
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}
