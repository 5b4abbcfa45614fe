package types

import (
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"strings"

	fbig "github.com/filecoin-project/go-state-types/big"
)

// AttoPerFIL is 10^18.
var AttoPerFIL = fbig.NewInt(1_000_000_000_000_000_000)

// FIL is an amount in attoFIL that prints and parses with a unit.
type FIL fbig.Int

// NewFIL makes an amount from whole FIL.
func NewFIL(whole int64) FIL { return FIL(fbig.Mul(fbig.NewInt(whole), AttoPerFIL)) }

// Atto returns the amount in attoFIL.
func (f FIL) Atto() fbig.Int { return fbig.Int(f) }

func (f FIL) int() *big.Int {
	if f.Int == nil {
		return new(big.Int)
	}
	return f.Int
}

// decimal prints v/10^digits exactly, without trailing zeros.
func decimal(v *big.Int, digits int) string {
	sign := ""
	if v.Sign() < 0 {
		sign, v = "-", new(big.Int).Neg(v)
	}
	s := v.String()
	if len(s) <= digits {
		s = strings.Repeat("0", digits-len(s)+1) + s
	}
	whole, frac := s[:len(s)-digits], strings.TrimRight(s[len(s)-digits:], "0")
	if frac == "" {
		return sign + whole
	}
	return sign + whole + "." + frac
}

// String prints the exact amount in FIL.
func (f FIL) String() string { return decimal(f.int(), 18) + " FIL" }

// Format makes %s and %v print String. Without it the integer inside would answer, in
// attoFIL and without a unit. Other verbs are the integer's.
func (f FIL) Format(s fmt.State, verb rune) {
	switch verb {
	case 's', 'v':
		_, _ = io.WriteString(s, f.String()) // a failed write is the printer's to tell
	default:
		f.int().Format(s, verb)
	}
}

// Unitless prints the exact number of FIL without the unit.
func (f FIL) Unitless() string { return decimal(f.int(), 18) }

var shortUnits = []struct {
	name   string
	digits int
}{{"FIL", 18}, {"mFIL", 15}, {"μFIL", 12}, {"nFIL", 9}, {"pFIL", 6}, {"fFIL", 3}, {"aFIL", 0}}

// Short prints up to three digits after the point in the largest unit that
// shows a whole part; zero is "0".
func (f FIL) Short() string {
	v := f.int()
	if v.Sign() == 0 {
		return "0"
	}
	abs := new(big.Int).Abs(v)
	for _, u := range shortUnits {
		unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(u.digits)), nil)
		if abs.Cmp(unit) < 0 {
			continue
		}
		s := decimal(v, u.digits)
		if i := strings.IndexByte(s, '.'); i >= 0 && len(s) > i+4 {
			s = strings.TrimRight(strings.TrimRight(s[:i+4], "0"), ".")
		}
		return s + " " + u.name
	}
	return v.String() + " aFIL"
}

// MarshalText writes String.
func (f FIL) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// MarshalJSON writes String.
func (f FIL) MarshalJSON() ([]byte, error) { return json.Marshal(f.String()) }

// UnmarshalText reads what ParseFIL reads.
func (f *FIL) UnmarshalText(b []byte) error {
	v, err := ParseFIL(string(b))
	if err == nil {
		*f = v
	}
	return err
}

// UnmarshalJSON reads a string that ParseFIL reads.
func (f *FIL) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("amount: want a string such as \"1.5 FIL\": %w", err)
	}
	return f.UnmarshalText([]byte(s))
}

// ParseFIL reads "1.5", "1.5 FIL", "20nFIL" or "100 attofil". A bare number
// counts FIL. Fractions of an attoFIL are refused.
func ParseFIL(s string) (FIL, error) {
	text := strings.TrimSpace(s)
	split := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' && r != '-' && r != '+' })
	number, unit := text, "fil"
	if split >= 0 {
		number, unit = text[:split], strings.ToLower(strings.TrimSpace(text[split:]))
	}
	digits, ok := map[string]int{"fil": 18, "wd": 18, "mfil": 15, "millifil": 15, "μfil": 12, "µfil": 12, "ufil": 12, "microfil": 12,
		"nfil": 9, "nanofil": 9, "pfil": 6, "picofil": 6, "ffil": 3, "femtofil": 3, "afil": 0, "attofil": 0}[unit]
	if !ok {
		return FIL{}, fmt.Errorf("amount %q: unit %q is unknown; use FIL, mFIL, nFIL or attoFIL", s, unit)
	}
	if number == "" || len(number) > 64 || strings.ContainsAny(number, "/eE") {
		return FIL{}, fmt.Errorf("amount %q: want a decimal number such as 1.5", s)
	}
	r, ok := new(big.Rat).SetString(number)
	if !ok {
		return FIL{}, fmt.Errorf("amount %q: want a decimal number such as 1.5", s)
	}
	r.Mul(r, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil)))
	if !r.IsInt() {
		return FIL{}, fmt.Errorf("amount %q: finer than one attoFIL", s)
	}
	return FIL(fbig.NewFromGo(r.Num())), nil
}
