// Package params knows the parameters of Filecoin's circuits: the names and digests of the network's files, and where the
// verifying keys of a network come from.
//
// Start at [Circuit]: one of the parameter sets, made by [PoRep], [PoSt] or [Update]. [Official] reads Filecoin's own files out of
// the parameter cache; [Devnet] derives the keys of a private network from its seed and keeps them beside, in a folder of
// their own that can never be mistaken for official parameters. Both also have the commitment keys of aggregates, which all
// circuits share.
//
// Invariant: a key read from a file has been checked against a digest.
package params
