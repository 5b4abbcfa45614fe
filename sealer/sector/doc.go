// Package sector is the life of one sector as a pure machine: a record and an
// event give the next record, and a record alone says which side effect is due.
//
// Start at Step, then read DueEffect: the shell (sealer/pipeline) persists the
// record that Step returns, then carries out DueEffect(record) and feeds what
// happened back as the next event. Because the due effect is a function of the
// stored record, a process that dies anywhere resumes by asking DueEffect again.
//
// Invariants:
//   - no I/O, no clock: time and epoch come with every event in Now;
//   - a message's id is fixed in the record (MessageID) before the record is
//     stored, and the record is stored before the message is pushed, so a crash
//     never sends twice;
//   - an event that a state does not expect changes nothing (ErrIgnored);
//   - only a chain fact or the operator ends a sector; lack of funds, a failing
//     service or a failing machine parks it with a reason and a time to retry.
package sector
