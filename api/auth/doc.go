// Package auth is the contract of venus-auth: who may do what in a cluster
// (HTTP on port 8989, sheet auth-wallet-messager.md A3).
//
// Start reading at [Client]. Verifying a token needs nothing but the token;
// everything else needs a token with the permission admin.
package auth
