// Package chain keeps the block chain and runs it.
//
// Start at Store: tipsets, their ancestors, the head and its changes, messages. Executor turns a tipset into the state
// after it, the one place where that happens. Randomness, Lookback, Weight, NextBaseFee and Supply are the rules that
// validation, mining and the virtual machine share; SearchMessage finds receipts.
//
// Invariants: the head on disk is a whole tipset whose blocks are on disk; subscribers hear of a head only after that;
// every list of head changes connects to the one before; an executed state is recorded only after its blocks are durable;
// nothing in here judges blocks (package consensus does).
package chain
