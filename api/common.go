package api

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrNotSupported is the answer of a proxy whose method was never filled in:
// the other side of the connection does not know the method.
var ErrNotSupported = errors.New("method not supported by this service")

// APIVersion is a protocol version packed as major<<16 | minor<<8 | patch.
type APIVersion uint32

// NewAPIVersion packs a version number; each part must be below 256.
func NewAPIVersion(major, minor, patch uint8) APIVersion {
	return APIVersion(uint32(major)<<16 | uint32(minor)<<8 | uint32(patch))
}

// Parts unpacks the version number.
func (v APIVersion) Parts() (major, minor, patch uint8) {
	return uint8(v >> 16), uint8(v >> 8), uint8(v)
}

// String writes the version as major.minor.patch.
func (v APIVersion) String() string {
	major, minor, patch := v.Parts()
	return fmt.Sprintf("%d.%d.%d", major, minor, patch)
}

// Version names a running program: its release, the version of the API it
// speaks and, for a node, the length of an epoch.
type Version struct {
	Version    string     // release and commit, for people
	APIVersion APIVersion // packed protocol version
	BlockDelay uint64     // length of an epoch in whole seconds; 0 where there is none
}

// Alert is a condition that an operator should know about.
type Alert struct {
	Type         AlertType
	Active       bool
	LastActive   *AlertEvent
	LastResolved *AlertEvent
}

// AlertType says where an alert comes from.
type AlertType struct {
	System, Subsystem string
}

// AlertEvent is one change of an alert.
type AlertEvent struct {
	Type    string // "raised" or "resolved"
	Message any
	Time    time.Time
}

// Common is what every daemon answers besides its own job.
type Common interface {
	// Version names the program and the API it speaks.
	//perm:read
	Version(ctx context.Context) (Version, error)
	// Session returns an id that is new at every start of the program.
	//perm:read
	Session(ctx context.Context) (string, error)
	// Discover describes the served methods as an OpenRPC document.
	//perm:read
	Discover(ctx context.Context) (map[string]any, error)
	// Closing gives a channel that closes when the program is about to stop.
	//perm:read
	Closing(ctx context.Context) (<-chan struct{}, error)
	// Shutdown stops the program in good order.
	//perm:admin
	Shutdown(ctx context.Context) error
	// LogList names the log systems.
	//perm:write
	LogList(ctx context.Context) ([]string, error)
	// LogSetLevel sets the level (debug, info, warn, error) of one log system, or of all with "*".
	//perm:write
	LogSetLevel(ctx context.Context, system, level string) error
}

// Auth is the handling of a daemon's own tokens.
type Auth interface {
	// AuthVerify returns the permissions of a token, or an error when it is not valid here.
	//perm:read
	AuthVerify(ctx context.Context, token string) ([]Permission, error)
	// AuthNew makes a token that carries exactly the given permissions.
	//perm:admin
	AuthNew(ctx context.Context, perms []Permission) ([]byte, error)
}
