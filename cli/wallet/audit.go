package wallet

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/cli/render"
)

// AuditRow is one decision of a wallet. Signer is address bytes in hex.
type AuditRow struct {
	Seq                            uint64
	Time                           time.Time
	Decision, Type, Signer, Reason string
	Facts                          map[string]string
}

// PrintAudit prints rows as a table, or value with --json.
func PrintAudit(p *render.Printer, rows []AuditRow, value any) error {
	return p.Result(value, func() {
		t := render.NewTable(">Record", "Time", "Decision", "Type", "Signer", "Details")
		for _, r := range rows {
			t.Row(r.Seq, r.Time.Format(time.RFC3339), r.Decision, r.Type, shortAddress(r.Signer), details(r))
		}
		p.Table(t)
	})
}

func shortAddress(s string) string {
	raw, err := hex.DecodeString(s)
	if err != nil {
		return s
	}
	a, err := address.NewFromBytes(raw)
	if err != nil {
		return s
	}
	return a.String()
}

// details lists the facts by name; addresses among them are written as addresses.
func details(r AuditRow) string {
	if r.Reason != "" {
		return r.Reason
	}
	parts := make([]string, 0, len(r.Facts))
	for _, k := range slices.Sorted(maps.Keys(r.Facts)) {
		v := r.Facts[k]
		switch k {
		case "to", "miner", "client", "provider", "channel":
			v = shortAddress(v)
		}
		parts = append(parts, fmt.Sprintf("%s=%s", k, v))
	}
	return strings.Join(parts, " ")
}
