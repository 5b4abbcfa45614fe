// Package circuit holds Filecoin's two circuits in their full, unreduced form: the stacked proof of replication and the
// fallback proof of spacetime, in the row and variable order of the network's parameters (fact sheet "proofs", 5.3, 5.4).
//
// Start at [PoRep] and [PoSt]: each is a witness with a Synthesize method. NewPoRep and NewPoSt read the vanilla proofs of
// packages porep and post; BlankPoRep and BlankPoSt make a circuit without a meaningful witness, from which keys are made.
//
// Invariant: circuits of one proof type have one shape, whatever their witness; a vanilla proof of another shape is
// refused before synthesis.
package circuit
