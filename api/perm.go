package api

import "fmt"

// Permission is a level of trust of a caller. Levels are ordered: each one
// includes all levels below it (read < write < sign < admin).
type Permission string

// The four levels, weakest first.
const (
	// PermRead allows looking at state.
	PermRead Permission = "read"
	// PermWrite allows changing state that is not worth money by itself.
	PermWrite Permission = "write"
	// PermSign allows asking for signatures, that is: spending.
	PermSign Permission = "sign"
	// PermAdmin allows everything.
	PermAdmin Permission = "admin"
)

// AllPermissions returns the four levels, weakest first.
func AllPermissions() []Permission {
	return []Permission{PermRead, PermWrite, PermSign, PermAdmin}
}

// ParsePermission accepts exactly the names of the four levels.
func ParsePermission(s string) (Permission, error) {
	for _, p := range AllPermissions() {
		if string(p) == s {
			return p, nil
		}
	}
	return "", fmt.Errorf("permission %q: must be one of read, write, sign, admin", s)
}

// Expand returns the level and all levels below it, strongest last; an unknown
// level expands to nothing.
func (p Permission) Expand() []Permission {
	all := AllPermissions()
	for i, q := range all {
		if p == q {
			return all[:i+1]
		}
	}
	return nil
}

// Covers tells whether a holder of p may do what needs the level need.
func (p Permission) Covers(need Permission) bool {
	for _, q := range p.Expand() {
		if q == need {
			return true
		}
	}
	return false
}
