// Package check holds a state against the invariants of the builtin actors: what the actors' library can tell of each
// actor and between them, that all balances sum to the whole supply, and that the power actor's pledge is the sum of the
// miners' pledges and locked rewards.
//
// [Full] judges one state by reading all of it. [Checker] judges the states of a chain one after the other and reads only
// what changed, so that a check after every epoch costs little; both find the same.
//
// Invariant: for any sequence of states, the last answer of a Checker is that of Full for the last state.
package check
