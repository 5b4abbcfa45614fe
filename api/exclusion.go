package api

// Exclusion is a method that clients of the field know and a program leaves out
// on purpose.
type Exclusion struct {
	// Method is its name without a namespace.
	Method string
	// Reason says why it is not here, Hint what to do instead.
	Reason, Hint string
}

// Err is what a call of the method gets, always the same.
func (e Exclusion) Err() *Error {
	return (&Error{Code: CodeUnsupported, Message: "method " + e.Method + " is not served: " + e.Reason}).WithHint("%s", e.Hint)
}
