package mining

import (
	"cmp"
	"fmt"
	"sync"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"

	miningapi "github.com/filecoin-venus/venus/api/mining"
)

// state is what a runner lets others see.
type state struct {
	mu     sync.Mutex
	epoch  abi.ChainEpoch // of the last attempt
	result string         // how it went
	issue  string         // why no block can be won, "" when all is well
	sick   string         // why the sealer makes no proofs, until it makes one
}

// proof notes how the last winning proof went.
func (s *state) proof(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sick = ""; err != nil {
		s.sick = fmt.Sprintf("the sealer cannot make winning proofs: %s", err)
	}
}

// unproven tells whether the last winning proof failed.
func (s *state) unproven() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sick != ""
}

// went notes how the attempt of a round ended; nothing failed, even where no block could be won.
func (s *state) went(epoch abi.ChainEpoch, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch, s.result, s.issue = epoch, fmt.Sprintf(format, args...), ""
}

// failed notes why the attempt of a round came to nothing.
func (s *state) failed(epoch abi.ChainEpoch, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch, s.result = epoch, fmt.Sprintf(format, args...)
	s.issue = fmt.Sprintf("epoch %d: %s", epoch, s.result)
}

// stuck notes why there is not even a round to attempt.
func (s *state) stuck(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.issue = fmt.Sprintf(format, args...)
}

func (s *state) show(addr address.Address, mining bool) miningapi.MinerState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return miningapi.MinerState{Addr: addr, IsMining: mining, Err: cmp.Or(s.issue, s.sick), LastEpoch: s.epoch, LastResult: s.result}
}
