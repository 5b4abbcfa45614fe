// Package conformance runs the vectors that nobody on this project wrote
// against the parts they judge and counts, per folder, what passed, what failed
// and what does not apply, with the reason.
//
// A folder is one entry of the list in conformance_test.go: a name and a function
// that fills a [Tally], file by file. Vectors of single rules (addresses,
// bitfields, trees, money) are plain tests beside it. All of them count what they
// compare, as do the tests of the packages that own a rule;
//
//	make conformance
//
// runs them all and prints the table, and
//
//	go test ./test/conformance -run Conformance -v
//
// the machine's part of it.
package conformance
