package r1cs

import "fmt"

// choice is one multiplexer of an insertion: slot out takes yes where cond is set, else no. Slots 0..n-1 are the element
// and the siblings, further slots the results of earlier choices; conds 0.. are the index bits, then nor and and of
// the lowest two.
type choice struct{ cond, yes, no int8 }

// insertion is how an element enters a row of siblings: the choices in order and the slots of the finished row.
type insertion struct {
	choices []choice
	result  []int8
}

const (
	condNor = 3
	condAnd = 4
)

// The hand-made insertions of the reference for 2, 4 and 8 slots; fewer rows than a general selection needs.
var (
	insert2 = insertion{
		choices: []choice{{0, 1, 0}, {0, 0, 1}},
		result:  []int8{2, 3},
	}
	insert4 = insertion{
		choices: []choice{
			{0, 1, 0}, {1, 1, 4},
			{0, 0, 1}, {1, 2, 6},
			{0, 3, 0}, {1, 8, 2},
			{0, 0, 3}, {1, 10, 3},
		},
		result: []int8{5, 7, 9, 11},
	}
	insert8 = insertion{
		choices: []choice{
			{condNor, 0, 1}, {2, 1, 8},
			{0, 0, 1}, {1, 2, 10}, {2, 2, 11},
			{0, 3, 0}, {1, 13, 2}, {2, 3, 14},
			{condAnd, 0, 3}, {2, 4, 16},
			{condNor, 0, 5}, {2, 18, 4},
			{0, 0, 5}, {1, 6, 20}, {2, 21, 5},
			{0, 7, 0}, {1, 23, 6}, {2, 24, 6},
			{condAnd, 0, 7}, {2, 26, 7},
		},
		result: []int8{9, 12, 15, 17, 19, 22, 25, 27},
	}
)

// Insert puts element among siblings at the index given by bits (least significant first, allocated, not negated).
func (s *System) Insert(element Num, bits []Boolean, siblings []Num) []Num {
	n := len(siblings) + 1
	var plan *insertion
	switch n {
	case 2:
		plan = &insert2
	case 4:
		plan = &insert4
	case 8:
		plan = &insert8
	default:
		panic(fmt.Sprintf("r1cs: no insertion among %d siblings", len(siblings)))
	}
	var conds [5]Boolean
	copy(conds[:], bits)
	if n == 8 {
		conds[condNor] = s.And(bits[0].Not(), bits[1].Not())
		conds[condAnd] = s.And(bits[0], bits[1])
	}
	var slots [28]Num
	slots[0] = element
	copy(slots[1:], siblings)
	for i, c := range plan.choices {
		slots[n+i] = s.pick(conds[c.cond], &slots[c.yes], &slots[c.no])
	}
	out := make([]Num, n)
	for i, r := range plan.result {
		out[i] = slots[r]
	}
	return out
}
