// Package auth is venus-auth: it gives out the tokens that the programs of a
// cluster show each other, and says whether a token counts (sheet
// auth-wallet-messager.md A).
//
// Start reading at [Service] (what it does), then [Run] (the daemon). The HTTP
// side is http.go; where tokens are kept is behind [Store] (badgerstore); the
// form of a token is package token; how other daemons ask is package remote.
//
// Invariants: a token is answered only after it is durable; a removed token is
// refused from the next question on; whoever manages tokens shows an admin
// token, from wherever the call comes; the text of a token is never stored,
// listed or logged.
package auth
