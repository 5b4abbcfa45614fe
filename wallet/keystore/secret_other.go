//go:build !linux

package keystore

func excludeFromDumps([]byte) {}
