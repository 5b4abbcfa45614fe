// Package render is the only place that prints: tables, JSON, amounts, sizes,
// epochs, progress and errors look the same in every program.
//
// Start reading at [Main], which runs a program's command tree, and at
// [Printer], which an action gets from [From]. The rules (facts/ux.md 3):
// results go to stdout and nothing else does; notes, warnings and progress go
// to stderr; with --json the result is one JSON value; an error says what
// failed and why, then "hint:" what to do, and the exit code tells the kind.
package render
