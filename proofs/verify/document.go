package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/filecoin-project/go-state-types/proof"
)

// Kind names what a Document holds.
type Kind string

// The kinds, and the statement of each: a type of go-state-types, in its JSON form, with the proof in it.
const (
	KindSeal      Kind = "seal"      // proof.SealVerifyInfo
	KindWindow    Kind = "window"    // proof.WindowPoStVerifyInfo
	KindWinning   Kind = "winning"   // proof.WinningPoStVerifyInfo
	KindUpdate    Kind = "update"    // proof.ReplicaUpdateInfo
	KindAggregate Kind = "aggregate" // proof.AggregateSealVerifyProofAndInfos
)

// Document is a proof with its statement, as it travels in a file.
type Document struct {
	Kind      Kind            `json:"kind"`
	Statement json.RawMessage `json:"statement"`
}

// ErrDocument marks what is no proof document.
var ErrDocument = errors.New("not a proof document")

// maxDocument bounds a document: an aggregate of the most sectors has a few hundred KiB.
const maxDocument = 16 << 20

// NewDocument makes the document of a statement.
func NewDocument(kind Kind, statement any) (Document, error) {
	b, err := json.Marshal(statement)
	if err != nil {
		return Document{}, fmt.Errorf("encode statement: %w", err)
	}
	return Document{Kind: kind, Statement: b}, nil
}

// ReadDocument reads one document and nothing behind it; what is none is an ErrDocument.
func ReadDocument(r io.Reader) (d Document, err error) {
	b, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return d, fmt.Errorf("read proof document: %w", err)
	}
	if len(b) > maxDocument {
		return d, fmt.Errorf("%w: longer than %d bytes", ErrDocument, maxDocument)
	}
	return d, strict(b, &d)
}

// strict decodes JSON that has no unknown fields and nothing behind it.
func strict(b []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", ErrDocument, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("%w: bytes behind the end", ErrDocument)
	}
	return nil
}

// Verdict tells whether a proof holds, and if not, why.
type Verdict struct {
	Valid  bool   `json:"valid"`
	Reason string `json:"reason,omitempty"`
}

// doesNotHold is the reason that the pairing gives.
const doesNotHold = "proof and statement are well formed, but the proof does not hold for this statement under the network's key"

// Judge verifies a document. Errors are as with the other methods: this machine cannot tell; or ErrDocument.
func (v *Verifier) Judge(ctx context.Context, d Document) (Verdict, error) {
	switch d.Kind {
	case KindSeal:
		return judgeClaim(ctx, v, d, sealClaim)
	case KindWindow:
		return judgeClaim(ctx, v, d, func(i proof.WindowPoStVerifyInfo) (*claim, error) {
			return postClaim(false, 0, i.Randomness, i.Proofs, i.ChallengedSectors)
		})
	case KindWinning:
		return judgeClaim(ctx, v, d, func(i proof.WinningPoStVerifyInfo) (*claim, error) {
			return postClaim(true, 0, i.Randomness, i.Proofs, i.ChallengedSectors)
		})
	case KindUpdate:
		return judgeClaim(ctx, v, d, updateClaim)
	case KindAggregate:
		return v.judgeAggregate(ctx, d)
	}
	return Verdict{}, fmt.Errorf("%w: kind %q, want %s, %s, %s, %s or %s", ErrDocument, d.Kind, KindSeal, KindWindow, KindWinning, KindUpdate, KindAggregate)
}

func judgeClaim[T any](ctx context.Context, v *Verifier, d Document, read func(T) (*claim, error)) (Verdict, error) {
	var statement T
	if err := strict(d.Statement, &statement); err != nil {
		return Verdict{}, fmt.Errorf("statement of kind %s: %w", d.Kind, err)
	}
	if err := ctx.Err(); err != nil {
		return Verdict{}, err
	}
	c, err := guard(func() (*claim, error) { return parsed(read(statement)) })
	if err != nil {
		return Verdict{Reason: err.Error()}, nil
	}
	verdicts, err := v.judge(ctx, []*claim{c})
	return verdictOf(err == nil && verdicts[0]), err
}

func (v *Verifier) judgeAggregate(ctx context.Context, d Document) (Verdict, error) {
	var info proof.AggregateSealVerifyProofAndInfos
	if err := strict(d.Statement, &info); err != nil {
		return Verdict{}, fmt.Errorf("statement of kind %s: %w", d.Kind, err)
	}
	if _, err := guard(func() (*aggregateClaim, error) { return readAggregate(info) }); err != nil {
		return Verdict{Reason: err.Error()}, ctx.Err()
	}
	ok, err := v.VerifyAggregateSeals(ctx, info)
	return verdictOf(ok), err
}

func verdictOf(ok bool) Verdict {
	if ok {
		return Verdict{Valid: true}
	}
	return Verdict{Reason: doesNotHold}
}
