package api

import (
	"errors"
	"fmt"
)

// ErrorCode is a stable name of a kind of failure. It survives the wire, and
// the command line turns it into an exit code.
type ErrorCode string

// The kinds of failure.
const (
	CodeInternal        ErrorCode = "internal"         // a bug or a broken machine
	CodeInvalid         ErrorCode = "invalid_argument" // the caller asked for nonsense
	CodePrecondition    ErrorCode = "precondition"     // right question, wrong moment
	CodeNotFound        ErrorCode = "not_found"
	CodeConflict        ErrorCode = "conflict" // it exists already, in another form
	CodePermission      ErrorCode = "permission_denied"
	CodeUnauthenticated ErrorCode = "unauthenticated" // no token, or a bad one
	CodeUnavailable     ErrorCode = "unavailable"     // another service or the network is away
	CodeLimit           ErrorCode = "limit_exceeded"
	CodePartial         ErrorCode = "partial"     // some of it was done
	CodeUnsupported     ErrorCode = "unsupported" // the field knows the method, this program leaves it out on purpose
)

// Error is a failure for people: what went wrong (Message), of which kind
// (Code), and what to do about it (Hint, may be empty).
type Error struct {
	Code    ErrorCode
	Message string
	Hint    string
	cause   error
}

// Error returns the message alone.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause, if any.
func (e *Error) Unwrap() error { return e.cause }

// WithHint returns a copy that tells what to do.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// Errorf makes an Error; %w keeps the cause reachable for errors.Is and As.
func Errorf(code ErrorCode, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), cause: errors.Unwrap(err)}
}

// Explain returns the code and hint that err carries anywhere inside, with the
// whole message of err; plain errors get CodeInternal and no hint.
func Explain(err error) *Error {
	if err == nil {
		return nil
	}
	out := &Error{Code: CodeInternal, Message: err.Error(), cause: err}
	var e *Error
	if errors.As(err, &e) {
		out.Code, out.Hint = e.Code, e.Hint
	}
	return out
}
