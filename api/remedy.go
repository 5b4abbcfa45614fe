package api

import "errors"

// Remedy is what a caller is told of a kind of error: a code and what helps,
// empty where nothing does.
type Remedy struct {
	Is   error
	Code ErrorCode
	Hint string
}

// Remedied gives an error the code and hint of the first remedy that is for it;
// an error that none is for comes back as it is.
func Remedied(err error, remedies []Remedy) error {
	for _, r := range remedies {
		if errors.Is(err, r.Is) {
			return Errorf(r.Code, "%w", err).WithHint("%s", r.Hint)
		}
	}
	return err
}
