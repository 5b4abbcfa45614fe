// Package r1cs writes Filecoin's circuits as rank-1 constraint systems, row for row and variable for variable as the
// network's own proving stack does (fact sheet "proofs", 5.1 and 5.2), so that keys made for one fit the other.
//
// Start at [System]: gadgets allocate variables and enforce rows A*B=C on it. A System stores no rows: every row goes to
// a [Backend], which counts ([Counter]), records ([Matrix]), or evaluates it at once. Synthesis is therefore the same
// code for proving, for deriving keys and for tests, and needs memory only for what the backend keeps.
//
// Invariants:
//   - Inputs and auxiliary variables are numbered apart, in allocation order; input 0 is the constant one.
//   - Every gadget computes real values as it goes; a circuit's shape never depends on the values of its witness.
//   - Rows of small integers (boolean gates) and rows of field elements are handed over apart, because millions of the
//     former make a SHA-256 circuit and cost a few additions each when nobody asks for their terms.
package r1cs
