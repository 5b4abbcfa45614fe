// Package messager holds the commands of venus-messager but run: they talk to the
// running daemon through its API, with the address and the admin token they find
// in its directory.
//
// Start reading at Commands. Invariants: results go to standard output, everything
// else to standard error; tokens are never printed; a failure is a non-zero exit
// with its cause and what to do.
package messager
