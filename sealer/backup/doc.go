// Package backup keeps a sealer's memory in one file: its database and the small
// files of its directory, but no sector files and no key that signs anything.
//
// Start at Write and Restore. The file is gzip of lines of JSON: a header, the
// directory's files, the rows of the database at one moment, and a last line
// with counts and the SHA-256 of all lines before.
//
// Invariants: a backup is complete or is not there (temporary name, sync,
// rename); nothing is restored from a file before all of it was verified; a
// restore writes to an empty database only, in one transaction, and reads back
// what it wrote; a restored sealer gives out no sector number that may have been
// used since. The file holds tokens: only its owner can read it.
package backup
