package policy

import (
	"reflect"
	"strings"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
)

// methods are the methods of builtin actors by name, in lower case.
func methods() map[string]abi.MethodNum {
	out := map[string]abi.MethodNum{}
	for actor, table := range map[string]any{
		"account": builtin.MethodsAccount, "init": builtin.MethodsInit, "cron": builtin.MethodsCron, "reward": builtin.MethodsReward,
		"multisig": builtin.MethodsMultisig, "paych": builtin.MethodsPaych, "market": builtin.MethodsMarket, "power": builtin.MethodsPower,
		"miner": builtin.MethodsMiner, "verifreg": builtin.MethodsVerifiedRegistry,
	} {
		v := reflect.ValueOf(table)
		for i := range v.NumField() {
			if n, ok := v.Field(i).Interface().(abi.MethodNum); ok {
				out[strings.ToLower(actor+"."+v.Type().Field(i).Name)] = n
			}
		}
	}
	return out
}
