// Package auth holds the commands of venus-auth. They talk to the running
// daemon over HTTP with the admin token of its directory.
//
// Start reading at [App].
package auth
