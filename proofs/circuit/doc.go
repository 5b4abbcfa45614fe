// Package circuit holds Filecoin's three circuits in their full, unreduced form: the stacked proof of replication, the
// fallback proof of spacetime and the replica update, in the row and variable order of the network's parameters (fact
// sheet "proofs", 5.3 to 5.5).
//
// Start at [PoRep], [PoSt] and [Update]: each is a witness with a Synthesize method. NewPoRep, NewPoSt and NewUpdate read
// the vanilla proofs of packages porep, post and update; BlankPoRep, BlankPoSt and BlankUpdate make a circuit without a
// meaningful witness, from which keys are made.
//
// Invariant: circuits of one proof type have one shape, whatever their witness; a vanilla proof of another shape is
// refused before synthesis.
package circuit
