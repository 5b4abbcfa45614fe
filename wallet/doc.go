// Package wallet is venus-wallet: a service that holds keys and signs.
//
// Start reading at Service.WalletSign; Run wires the daemon. Three packages do the work: keystore keeps the keys
// encrypted, typed decides what may be signed, signlog records every decision before a signature leaves.
//
// Invariants: no key and no password is ever logged or put into an error; no signature is made of bytes that a caller
// composed; nothing is signed while the record of it is not durable; every caller, local or not, needs a token.
package wallet
