package vm

import (
	"time"

	"github.com/filecoin-venus/venus/types"
)

// Trace is the record of one call and those it made, in the JSON shape the
// field's clients read.
type Trace struct {
	Msg        *types.Message
	MsgRct     *types.MessageReceipt
	Error      string
	Duration   time.Duration
	GasCharges []*GasCharge
	Subcalls   []*Trace
}

// GasCharge is one item of a traced bill, in units of gas. Virtual parts are
// shown, never paid.
type GasCharge struct {
	Name              string        `json:"Name"`
	TotalGas          int64         `json:"tg"`
	ComputeGas        int64         `json:"cg"`
	StorageGas        int64         `json:"sg"`
	TotalVirtualGas   int64         `json:"vtg"`
	VirtualComputeGas int64         `json:"vcg"`
	VirtualStorageGas int64         `json:"vsg"`
	TimeTaken         time.Duration `json:"tt"`
	Extra             any           `json:"ex,omitempty"`
}

func (c charge) traced() *GasCharge {
	return &GasCharge{
		Name: c.name, TotalGas: c.total(), ComputeGas: c.compute, StorageGas: c.storage,
		TotalVirtualGas:   c.virtualCompute + c.virtualStorage,
		VirtualComputeGas: c.virtualCompute, VirtualStorageGas: c.virtualStorage,
	}
}
