package rpc

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-jsonrpc"

	"github.com/filecoin-venus/venus/api"
)

const (
	// codeMethod is the number of every error a method returns: clients of the
	// field know no other. The stable name is in data.code.
	codeMethod = 1
	// codePanic is JSON-RPC's own number for a bug in the server.
	codePanic = -32603

	codeParse         = -32700
	codeInvalid       = -32600
	codeInvalidParams = -32602
)

// wireError is an api.Error on its way through go-jsonrpc.
type wireError struct{ inner api.Error }

// errorData is what the data field of an error answer holds.
type errorData struct {
	Code api.ErrorCode `json:"code"`
	Hint string        `json:"hint,omitempty"`
}

// toWire prepares an error for the wire; the whole message survives, the code
// and hint are those found inside.
func toWire(err error) error {
	var w *wireError
	if err == nil || errors.As(err, &w) && err == error(w) {
		return err
	}
	return &wireError{*api.Explain(err)}
}

// Error returns the message.
func (e *wireError) Error() string { return e.inner.Message }

// Unwrap lets errors.As find the api.Error.
func (e *wireError) Unwrap() error { return &e.inner }

// ToJSONRPCError is called by go-jsonrpc on the server.
func (e *wireError) ToJSONRPCError() (jsonrpc.JSONRPCError, error) {
	code := jsonrpc.ErrorCode(codeMethod)
	if errors.Is(e.inner.Unwrap(), errPanic) {
		code = codePanic
	}
	return jsonrpc.JSONRPCError{Code: code, Message: e.inner.Message, Data: errorData{e.inner.Code, e.inner.Hint}}, nil
}

// FromJSONRPCError is called by go-jsonrpc on the client.
func (e *wireError) FromJSONRPCError(j jsonrpc.JSONRPCError) error {
	e.inner.Code, e.inner.Message = api.CodeInternal, j.Message
	if m, ok := j.Data.(map[string]any); ok {
		if s, ok := m["code"].(string); ok && s != "" {
			e.inner.Code = api.ErrorCode(s)
		}
		e.inner.Hint, _ = m["hint"].(string)
	}
	return nil
}

// wireErrors lets a client turn numbers back into api.Errors.
func wireErrors() jsonrpc.Errors {
	es := jsonrpc.NewErrors()
	es.Register(codeMethod, new(*wireError))
	es.Register(codePanic, new(*wireError))
	return es
}

// errorFrame is an error answer of the protocol itself.
func errorFrame(id json.RawMessage, code int, format string, args ...any) []byte {
	if len(id) == 0 {
		id = json.RawMessage("null")
	}
	b, err := json.Marshal(map[string]any{
		"jsonrpc": "2.0", "id": id,
		"error": map[string]any{"code": code, "message": fmt.Sprintf(format, args...)},
	})
	if err != nil {
		return []byte(`{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"error without text"}}`)
	}
	return b
}

// callError is the error answer of a method.
func callError(id json.RawMessage, err error) []byte {
	if len(id) == 0 {
		id = json.RawMessage("null")
	}
	w := &wireError{*api.Explain(err)}
	j, err := w.ToJSONRPCError()
	if err != nil {
		return errorFrame(id, codePanic, "%v", err)
	}
	b, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": id, "error": j})
	if err != nil {
		return errorFrame(id, codePanic, "%v", err)
	}
	return b
}

// excludedFrame is the error answer to a method left out on purpose: for
// programs that probe it is a method which is not there, for people it says why.
func excludedFrame(id json.RawMessage, e *api.Error) []byte {
	if len(id) == 0 {
		id = json.RawMessage("null")
	}
	b, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": id, "error": jsonrpc.JSONRPCError{
		Code: codeNoMethod, Message: e.Message, Data: errorData{e.Code, e.Hint},
	}})
	if err != nil {
		return errorFrame(id, codePanic, "%v", err)
	}
	return b
}
