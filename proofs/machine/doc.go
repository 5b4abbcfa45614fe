// Package machine answers what a machine can do for proofs: what sectors of a size need, how long each phase would take,
// and, by doing it, how long it does take.
//
// Start at [NeedOf], which is arithmetic; [Measure] times the primitives, [EstimateOf] turns them into times of phases; and
// [Seal] seals and proves one sector for real. [Files] lists what lies in the caches.
//
// Invariant: needs and estimates are pure functions of a sector's shape and of measured rates; whatever asks the machine
// is in [Measure], [Detect], [Files] and [Seal].
package machine
