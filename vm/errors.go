package vm

import (
	"errors"
	"fmt"

	"github.com/filecoin-project/go-state-types/exitcode"
)

// ActorError is a call that ended with an exit code: an outcome of the chain,
// the same on every node.
type ActorError struct {
	Code exitcode.ExitCode
	Msg  string
}

// Error shows the code and the text, which is not part of consensus.
func (e *ActorError) Error() string { return fmt.Sprintf("exit %d: %s", e.Code, e.Msg) }

func actorErrorf(code exitcode.ExitCode, format string, args ...any) *ActorError {
	return &ActorError{Code: code, Msg: fmt.Sprintf(format, args...)}
}

// FatalError is a failure of this machine, not of the message: nothing can be
// said about the outcome. It ends every frame and the Apply call.
type FatalError struct{ Err error }

// Error shows the cause.
func (e *FatalError) Error() string { return "vm cannot go on: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *FatalError) Unwrap() error { return e.Err }

func fatalf(format string, args ...any) *FatalError {
	return &FatalError{Err: fmt.Errorf(format, args...)}
}

// exitOf splits an error of a call: an exit code, or a fatal error to pass on.
func exitOf(err error) (exitcode.ExitCode, error) {
	if err == nil {
		return exitcode.Ok, nil
	}
	var fe *FatalError
	if errors.As(err, &fe) {
		return 0, err
	}
	var ae *ActorError
	if errors.As(err, &ae) {
		return ae.Code, nil
	}
	return 0, err
}
