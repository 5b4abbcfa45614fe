package rpc

import "time"

// Meter counts what happens at a server. Its methods are called from many
// goroutines and must not block.
type Meter interface {
	// Called: a call of a method ended with a code: "ok", an api.ErrorCode, or
	// "no_method" for one that nobody knows, whose name is then "unknown". Names
	// come without their namespace.
	Called(method, code string, took time.Duration)
	// Connections and Subscriptions changed by so many.
	Connections(delta int)
	Subscriptions(delta int)
	// TooSlow: a subscriber lost its connection because it fell behind.
	TooSlow(method string)
}

// noMeter counts nothing.
type noMeter struct{}

// Called does nothing.
func (noMeter) Called(string, string, time.Duration) {}

// Connections does nothing.
func (noMeter) Connections(int) {}

// Subscriptions does nothing.
func (noMeter) Subscriptions(int) {}

// TooSlow does nothing.
func (noMeter) TooSlow(string) {}
