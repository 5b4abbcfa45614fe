// Package wallet is the command line of venus-wallet: each command is one call to the running daemon, with the admin
// token that the daemon left in its directory for its own machine.
//
// Start reading at Commands. Results alone go to standard output; prompts and warnings go to standard error. A password
// comes from a prompt, a file, a file descriptor or the environment, never from the argument list.
package wallet
