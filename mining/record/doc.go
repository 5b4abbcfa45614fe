// Package record is venus-miner's memory in one SQL database: what was signed, what was won and what became of it.
//
// Start reading at Miner.Propose, the one door through which a block must go before a signature is asked for. It is one
// transaction that locks the miner's row, so that two programs on one database decide one after the other; the key
// (miner, epoch) stands behind it. Open chooses SQLite or MySQL; DB.Export and DB.Import move the record of signed blocks.
//
// Invariants: Propose returns an allowed verdict only after its record is committed; every error forbids to sign; a floor
// never falls; no row of blocks is ever removed or gets another digest.
package record
