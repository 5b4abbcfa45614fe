// Package conformance runs the vectors that nobody on this project wrote
// against the parts they judge and counts, per folder, what passed, what failed
// and what does not apply, with the reason.
//
//	go test ./test/conformance -run Conformance -v
//
// prints the table. A folder is one entry of the list in conformance_test.go:
// a name and a function that fills a [Tally].
package conformance
