// Package store keeps the messager's messages, senders, wallets and the chain it
// followed, in SQLite or in a database that speaks MySQL's protocol.
//
// Start reading at Open; Update runs a transaction, Tx has the writes, DB the
// reads. The tables are in migrations/, one folder per dialect, numbered and only
// ever added to.
//
// Invariants:
//   - a write is on disk when Update returns nil;
//   - addresses are stored as bytes, so the printed prefix f or t never matters;
//   - a message is only written over the revision that was read (ErrStale), and a
//     nonce only given out over the nonce that was read, in one transaction with
//     the signed bytes;
//   - (sender, nonce) is unique in the database itself;
//   - tokens of wallets and nodes are sealed with a key that is not in the database.
//
// Sources: auth-wallet-messager.md C4, E16; reliability.md 3.5 and 5.
package store
