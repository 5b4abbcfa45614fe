package r1cs

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/stretchr/testify/require"
)

// mergePlain is Merge told by its rule: sums in order of first appearance, without those that are zero.
func mergePlain(terms []Term) []Term {
	out := []Term{}
	sums := map[Variable]*fr.Element{}
	var order []Variable
	for _, t := range terms {
		if sums[t.Var] == nil {
			sums[t.Var] = new(fr.Element)
			order = append(order, t.Var)
		}
		sums[t.Var].Add(sums[t.Var], &t.Coef)
	}
	for _, v := range order {
		if !sums[v].IsZero() {
			out = append(out, Term{v, *sums[v]})
		}
	}
	return out
}

// TestMerge for combinations of all lengths around the short ones, of few variables, so that many meet and some cancel.
func TestMerge(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var m Merger
	for round := range 2000 {
		terms := make([]Term, round%(3*shortCombination))
		for i := range terms {
			terms[i].Var = AuxVar(r.IntN(6) * 1000)
			if r.IntN(2) == 0 {
				terms[i].Var = InputVar(r.IntN(3))
			}
			terms[i].Coef.SetInt64(r.Int64N(5) - 2)
		}
		before := slices.Clone(terms)
		require.Equal(t, mergePlain(terms), append([]Term{}, m.Merge(terms)...), "round %d", round)
		require.Equal(t, before, terms)
	}
}

// TestDensitiesOfSmallRows compares small rows with the same rows over the field.
func TestDensitiesOfSmallRows(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 500 {
		small, field := &Counter{Densities: true}, &Counter{Densities: true}
		for range 3 {
			var sides [2]Small
			var lcs [2]LC
			for k := range sides {
				for range r.IntN(5) {
					v := AuxVar(r.IntN(4) * 700)
					if r.IntN(3) == 0 {
						v = InputVar(r.IntN(2))
					}
					sides[k].add(v, int8(r.IntN(5)-2))
				}
				lcs[k].Terms = sides[k].Terms(nil)
			}
			small.Small(&sides[0], &sides[1], nil)
			field.Row(&lcs[0], &lcs[1], nil)
		}
		require.Equal(t, field.Density(2, 2101), small.Density(2, 2101))
		require.Equal(t, []int{field.Rows, field.DensityA(), field.DensityB()}, []int{small.Rows, small.DensityA(), small.DensityB()})
	}
}
