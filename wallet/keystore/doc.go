// Package keystore keeps private keys in encrypted files, one file a key.
//
// Start reading at Store. The directory looks like this (0700, every file 0600):
//
//	master.json        scrypt parameters, salt and the wrapped data key
//	keys/<hex>.key     one key, sealed under the data key; the name is the network-neutral address bytes in hex
//	deleted/<hex>.key.<n>  tombstones: still encrypted, restorable by moving them back
//
// A password is stretched by scrypt into a wrapping key; the wrapping key seals a random data key; the data key seals
// the key files. Invariants:
//
//   - one password per store: a wrong one cannot open the wrapped data key, so it is refused before any key is touched;
//   - changing the password rewrites master.json alone, atomically;
//   - a key file is wholly there or wholly not, and has been read back and opened before its address is told to anyone;
//   - while locked the process holds no data key: it lives outside the garbage-collected heap and is zeroed by Lock;
//   - a damaged file disables that key alone, by name and with a reason.
package keystore
