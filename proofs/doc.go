// Package proofs is only this story; the work is in the packages below.
//
// Three doors. [proofs/seal] is for sealers and workers: it turns data into a sealed sector, phase by phase over files, and
// opens sealed sectors for proofs. [proofs/prove] turns openings ("vanilla proofs") into Groth16 proofs. [proofs/verify] is
// for nodes: it answers whether a proof holds, and links no prover. The three share only statements: the proof types of
// go-state-types.
//
// The life of a proof of replication:
//
//	commp     pieces -> CommD, the root of a SHA-256 tree over Fr32-padded data
//	sdr       data's place -> labels, layer by layer over the stacked graph
//	merkle    labels -> columns -> tree C; data + last labels = replica -> tree R; CommR = Poseidon(CommC, CommRLast)
//	porep     ticket, seed -> challenges -> openings of all trees, and the public inputs both sides compute
//	circuit   openings -> rows and witness (r1cs has the gadgets, poseidon the constants, shape the numbers per size)
//	groth16   rows -> 192 bytes per partition; public inputs and a verifying key -> yes or no (crypto/wide has the sums of points)
//
// A proof of spacetime (post) opens tree R alone and takes the same last two steps. A replica update (update) encodes data
// into a sector sealed without any, opens both replicas and the data, and takes them too.
//
// Proofs of many sectors can be aggregated into one, the seals of method ProveCommitAggregate: prover/aggregate in groth16
// makes it, snarkpack checks it.
//
// Keys come from package params. Public networks use Filecoin's files, by name and digest. Private networks derive
// everything from a seed that all members share: verifying keys in the node; in the prover either the secret itself
// (trapdoor, the default there: no files, a fraction of a second) or parameter files made once from it (crs).
//
// What all this asks of a machine is told, measured and tried by package machine.
package proofs
