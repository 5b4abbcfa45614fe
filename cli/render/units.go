package render

import (
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	fbig "github.com/filecoin-project/go-state-types/big"

	"github.com/filecoin-venus/venus/types"
)

var (
	iecUnits = []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"}
	decUnits = []string{"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"}
)

// FIL prints an amount of attoFIL: short, or exact with --raw.
func (p *Printer) FIL(atto abi.TokenAmount) string {
	if p.raw {
		return types.FIL(atto).String()
	}
	return FIL(atto)
}

// FIL prints an amount of attoFIL with three decimals at most: "93.75 mFIL", "0".
func FIL(atto abi.TokenAmount) string {
	if atto.Int == nil {
		return "0"
	}
	return strings.Replace(types.FIL(atto).Short(), "μ", "u", 1)
}

// scaled divides by 1024 until the number is small, and prints up to four
// significant digits.
func scaled(v fbig.Int, units []string) string {
	if v.Int == nil {
		return "0 " + units[0]
	}
	n, i := new(big.Rat).SetInt(v.Int), 0
	k := big.NewRat(1024, 1)
	for new(big.Rat).Abs(n).Cmp(k) >= 0 && i < len(units)-1 {
		n.Quo(n, k)
		i++
	}
	f, _ := n.Float64()
	return fmt.Sprintf("%.4g %s", f, units[i])
}

// Size prints bytes: "2 KiB", "1.5 TiB", "0 B".
func Size(bytes fbig.Int) string { return scaled(bytes, iecUnits) }

// SizeUint prints bytes.
func SizeUint(bytes uint64) string { return Size(fbig.NewIntUnsigned(bytes)) }

// Deci prints a power without its unit: "15 Ti", "0 ".
func Deci(v fbig.Int) string { return scaled(v, decUnits) }

// Size prints bytes: rounded, or exact with --raw.
func (p *Printer) Size(bytes fbig.Int) string {
	if p.raw {
		return bytes.String() + " B"
	}
	return Size(bytes)
}

// units of long durations, biggest first.
var spans = []struct {
	name string
	d    time.Duration
}{
	{"year", 365 * 24 * time.Hour}, {"week", 7 * 24 * time.Hour}, {"day", 24 * time.Hour},
	{"hour", time.Hour}, {"minute", time.Minute}, {"second", time.Second},
}

// Span prints a duration in at most two units: "2 hours 3 minutes".
func Span(d time.Duration) string {
	d = d.Abs()
	var parts []string
	for _, s := range spans {
		n := d / s.d
		if n == 0 {
			if len(parts) > 0 {
				break
			}
			continue
		}
		d -= n * s.d
		word := s.name
		if n > 1 {
			word += "s"
		}
		parts = append(parts, fmt.Sprintf("%d %s", n, word))
		if len(parts) == 2 {
			break
		}
	}
	if len(parts) == 0 {
		return "0 seconds"
	}
	return strings.Join(parts, " ")
}

// Took prints a short duration for progress: "2m41s", "350ms".
func Took(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// Epoch prints an epoch and how far it is from now: "N (2 hours 3 minutes ago)",
// "N (in 5 minutes)", "N (now)".
func Epoch(e, now abi.ChainEpoch, blockDelay time.Duration) string {
	d := time.Duration(e-now) * blockDelay
	switch {
	case e == now:
		return fmt.Sprintf("%d (now)", e)
	case e < now:
		return fmt.Sprintf("%d (%s ago)", e, Span(d))
	}
	return fmt.Sprintf("%d (in %s)", e, Span(d))
}

// Percent prints a share with two decimals; of nothing it is 0.
func Percent(part, whole fbig.Int, decimals int) string {
	f := 0.0
	if whole.Int != nil && part.Int != nil && whole.Sign() != 0 {
		f, _ = new(big.Rat).SetFrac(part.Int, whole.Int).Float64()
	}
	return fmt.Sprintf("%.*f%%", decimals, 100*f)
}

// Bar draws a share in [0,1] as "[||||      ]".
func Bar(share float64, width int) string {
	n := int(share*float64(width) + 0.5)
	n = max(0, min(width, n))
	return "[" + strings.Repeat("|", n) + strings.Repeat(" ", width-n) + "]"
}
