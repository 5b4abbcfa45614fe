// Package faultnet holds five real nodes against each other over lines that fail:
// partitions with miners on both sides, delays, loss, resets, half-open lines,
// kill -9, frozen processes, a full disk, wrong clocks. All of it is drawn from a
// seed that is printed, and after each round of faults all nodes must come to one
// head within ten epochs, with equal states, and without anybody's help.
//
// Start reading at TestFaultNet; plan_test.go draws the faults, proxy_test.go is
// the network, check_test.go says what must hold.
//
// The default run takes about a minute. VENUS_FAULTNET=30m runs for that long,
// VENUS_FAULTNET_SEED=N replays a schedule, VENUS_FAULTNET_DIR keeps logs and
// repos. The schedule is a function of seed and length; what the processes make
// of it is not.
package faultnet
