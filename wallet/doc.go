// Package wallet is venus-wallet: a service that holds keys and signs.
//
// Start reading at Service.WalletSign; Run wires the daemon. Four packages do the work: keystore keeps the keys
// encrypted, typed makes the bytes that are signed, policy decides for whom, signlog records every decision before a
// signature leaves; backup writes all of it into one file.
//
// Invariants: no key and no password is ever logged or put into an error; no signature is made of bytes that a caller
// composed, unless a policy of the key allows raw ones; nothing is signed while the record of it is not durable; every caller, local or not, needs a token.
package wallet
