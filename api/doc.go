// Package api is the root of the service contracts: what every daemon shares.
//
// One folder per service stands beside it (node, wallet, messager, sealer,
// mining, auth). Each holds interfaces split by topic, the wire types, and a
// generated proxy (proxy_gen.go). A method's permission is the comment
// `//perm:read|write|sign|admin` directly above it; the generator refuses a
// method without one, so a contract without a permission cannot be built.
//
// The proxies are plain structs with one function field per method. The same
// struct serves as client (package rpc fills the fields with network calls)
// and as guard of a server (package rpc fills them with calls that first check
// the permission tag).
//
// Invariants: contracts import nouns only (types and the field's type
// libraries); the JSON of a wire type is the field's own dialect (sheet
// node.md 2.3 and 2.4, node-nv15.md 6): capitalised keys, cids as {"/": "..."},
// byte strings in base64, amounts as decimal strings, epochs as numbers.
package api
