package params

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/filecoin-venus/venus/proofs/groth16/snarkpack"
)

// Filecoin's commitment keys for aggregates, one file for all circuits: its name and digest as published beside the
// parameters (rust-fil-proofs, srs-inner-product.json). It has some 300 MB.
const (
	AggregationFileName = "v28-fil-inner-product-v1.srs"
	aggregationDigest   = "ae20310138f5ba81451d723f858e3797"
)

// AggregationFile checks the digest of the file of commitment keys, which reads the whole file, and returns its path. A
// file that is absent gives ErrMissing with what to put where.
func (o *Official) AggregationFile(context.Context) (string, error) {
	path := filepath.Join(o.dir, AggregationFileName)
	got, err := digestOf(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("commitment keys of aggregates: put Filecoin's file %s (digest %s) into %s, or set %s to where it is: %w",
			AggregationFileName, aggregationDigest, o.dir, CacheEnv, ErrMissing)
	}
	if err != nil {
		return "", fmt.Errorf("commitment keys of aggregates: %w", err)
	}
	if got != aggregationDigest {
		return "", fmt.Errorf("commitment keys of aggregates: %s has digest %s, want %s: fetch it again", path, got, aggregationDigest)
	}
	return path, nil
}

// AggregationKey reads the verifier's part of the commitment keys, after AggregationFile.
func (o *Official) AggregationKey() (*snarkpack.Key, error) {
	path, err := o.AggregationFile(context.Background())
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("commitment keys of aggregates: %w", err)
	}
	defer file.Close()
	keys, err := snarkpack.OpenFile(file)
	if err != nil {
		return nil, err
	}
	return keys.Key()
}

// AggregationSecret is the trapdoor of a private network's commitment keys.
func (d *Devnet) AggregationSecret() (snarkpack.Secret, error) {
	return snarkpack.SecretFromSeed(d.seed)
}

// AggregationKey is the verifier's part of the commitment keys that follow from the network's seed; it takes a
// millisecond, so nothing is kept.
func (d *Devnet) AggregationKey() (*snarkpack.Key, error) {
	s, err := d.AggregationSecret()
	if err != nil {
		return nil, err
	}
	return s.Key(), nil
}
