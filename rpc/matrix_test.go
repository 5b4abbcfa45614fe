package rpc

import (
	"context"
	"errors"
	"net"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/api/mining"
	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/types"
)

// TestEveryMethodEveryPermission calls every method of every contract, over a
// real socket, with no token and with a token of each level. Behind the server
// stands an empty proxy, which answers every allowed call with ErrNotSupported.
func TestEveryMethodEveryPermission(t *testing.T) {
	for name, service := range map[string]struct {
		namespace string
		proxy     func() any
	}{
		"node":     {node.Namespace, func() any { return new(node.FullNodeProxy) }},
		"node v0":  {node.Namespace, func() any { return new(node.FullNodeV0Proxy) }},
		"wallet":   {wallet.Namespace, func() any { return new(wallet.WalletProxy) }},
		"messager": {messager.Namespace, func() any { return new(messager.MessagerProxy) }},
		"sealer":   {sealer.Namespace, func() any { return new(sealer.SealerProxy) }},
		"mining":   {mining.Namespace, func() any { return new(mining.MiningProxy) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewServer(Options{Verify: allTokens().verify})
			require.NoError(t, s.Register("/rpc/v0", service.proxy(), service.proxy(), service.namespace))
			addr := listenAndServe(t, s)
			for _, token := range []string{"", "r", "w", "s", "a"} {
				held := api.Permission(map[string]string{"": "", "r": "read", "w": "write", "s": "sign", "a": "admin"}[token])
				client := service.proxy()
				stop, err := Dial(addr, token, service.namespace, client, DialOptions{Timeout: 10 * time.Second})
				require.NoError(t, err)
				callAll(t, client, token, held)
				stop()
			}
		})
	}
}

func callAll(t *testing.T, client any, token string, held api.Permission) {
	in, err := internals(client)
	require.NoError(t, err)
	perms, err := Permissions(client)
	require.NoError(t, err)
	require.Len(t, perms, in.NumField())
	for i := range in.NumField() {
		f := in.Type().Field(i)
		args := []reflect.Value{reflect.ValueOf(context.Background())}
		for p := 1; p < f.Type.NumIn(); p++ {
			arg := reflect.Zero(f.Type.In(p))
			if arg.Type() == reflect.TypeFor[types.KeyType]() {
				arg = reflect.ValueOf(types.KeyBLS) // an empty one does not decode
			}
			args = append(args, arg)
		}
		out := in.Field(i).Call(args)
		err, _ := out[len(out)-1].Interface().(error)
		require.Error(t, err, f.Name)
		if held.Covers(perms[f.Name]) {
			require.ErrorContains(t, err, api.ErrNotSupported.Error(), "%s with %q", f.Name, token)
			continue
		}
		require.Equal(t, api.CodePermission, api.Explain(err).Code, "%s with %q: %v", f.Name, token, err)
		var e *api.Error
		require.True(t, errors.As(err, &e))
		require.NotEmpty(t, e.Hint)
	}
}

func listenAndServe(t *testing.T, s *Server) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		require.NoError(t, s.Shutdown(ctx))
		require.NoError(t, <-served)
	})
	return l.Addr().String()
}
