// Package sealing holds a sealer, its workers and NATS against each other in
// processes of their own: workers are killed with SIGKILL at moments drawn from a
// seed that is printed, and of three NATS servers one dies too. Every sector
// reaches Proving with real proofs, sealed to one replica only, no number is used
// twice, and what lies on the disk at the end can be proven.
//
// TestWindowProofs keeps deadlines with workers that prove, one of which is killed in the middle of a proof and one of which
// lies. TestDrillWorker types docs/guide/drill-worker.md.
//
// Start reading at TestSealing; world_test.go is the sealer in a model chain,
// machines_test.go and processes_test.go start and kill. The test binary runs itself as worker and
// as NATS server.
//
// The default run takes well under a minute. VENUS_SEALING=long seals 60 sectors
// of 2 KiB and 6 of 8 MiB on either NATS; VENUS_SEALING_SEED=N replays the kills.
package sealing
