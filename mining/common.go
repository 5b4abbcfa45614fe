package mining

import (
	"context"

	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/api"
	miningapi "github.com/filecoin-venus/venus/api/mining"
	"github.com/filecoin-venus/venus/rpc"
)

// Version names the program.
func (s *Service) Version(context.Context) (api.Version, error) {
	return api.Version{Version: s.parts.Version, APIVersion: miningapi.Version}, nil
}

// Session is new at every start.
func (s *Service) Session(context.Context) (string, error) { return s.session, nil }

// Discover describes the methods.
func (s *Service) Discover(context.Context) (map[string]any, error) {
	return rpc.Describe("venus-miner", s.parts.Version, miningapi.Namespace, new(miningapi.MiningProxy))
}

// Closing gives a channel that closes when the program stops.
func (s *Service) Closing(context.Context) (<-chan struct{}, error) { return s.closing, nil }

// Shutdown stops the program.
func (s *Service) Shutdown(context.Context) error {
	s.shutdown.Do(func() { close(s.closing) })
	return nil
}

// LogList names the log systems.
func (s *Service) LogList(context.Context) ([]string, error) { return logging.GetSubsystems(), nil }

// LogSetLevel sets the level of one log system, or of all with "*".
func (s *Service) LogSetLevel(_ context.Context, system, level string) error {
	if err := logging.SetLogLevel(system, level); err != nil {
		return api.Errorf(api.CodeInvalid, "set log level: %w", err)
	}
	return nil
}

// AuthVerify returns the permissions of one of this program's tokens.
func (s *Service) AuthVerify(_ context.Context, token string) ([]api.Permission, error) {
	return s.parts.Tokens.Verify(token)
}

// AuthNew makes a token.
func (s *Service) AuthNew(_ context.Context, perms []api.Permission) ([]byte, error) {
	for _, p := range perms {
		if _, err := api.ParsePermission(string(p)); err != nil {
			return nil, api.Errorf(api.CodeInvalid, "%w", err)
		}
	}
	return s.parts.Tokens.New(perms)
}
