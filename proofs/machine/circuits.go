package machine

import (
	"math/bits"

	"github.com/filecoin-project/go-state-types/abi"
)

// Circuit is a circuit in numbers, as its parameter file is made of.
type Circuit struct {
	// Rows counts the constraints, those of the inputs with them.
	Rows uint64 `json:"rows"`
	// Inputs counts the constant one too; Aux are the other variables.
	Inputs uint64 `json:"inputs"`
	Aux    uint64 `json:"aux"`
	// A and B count the variables that have a point in these lists.
	A uint64 `json:"a"`
	B uint64 `json:"b"`
}

// LogDomain is the binary logarithm of the number of points that the polynomials are evaluated on.
func (c Circuit) LogDomain() int { return bits.Len64(max(c.Rows, 1) - 1) }

// Domain is that number.
func (c Circuit) Domain() uint64 { return 1 << c.LogDomain() }

// Sizes in a parameter file.
const (
	pointG1   = 96
	pointG2   = 192
	keyHeader = 868
)

// KeyBytes is the size of the verifying key's file.
func (c Circuit) KeyBytes() uint64 { return keyHeader + pointG1*c.Inputs }

// FileBytes is the size of the parameter file: the verifying key, then five lists with their lengths.
func (c Circuit) FileBytes() uint64 {
	return c.KeyBytes() + 5*4 + pointG1*(c.Domain()-1+c.Aux+c.A+c.B) + pointG2*c.B
}

// Circuits are those of one sector size.
type Circuits struct {
	// PoRep, Window and Update are of one partition.
	PoRep   Circuit `json:"porep"`
	Winning Circuit `json:"winning"`
	Window  Circuit `json:"window"`
	Update  Circuit `json:"update"`
}

// circuitsOf are the numbers of the published sizes. They are constants of the protocol; tests count those of small circuits
// anew and compare all with the sizes of Filecoin's files.
var circuitsOf = map[abi.SectorSize]Circuits{
	2 << 10: {
		PoRep:   Circuit{Rows: 2_687_961, Inputs: 40, Aux: 2_685_673, A: 2_674_948, B: 685_522},
		Winning: Circuit{Rows: 90_883, Inputs: 133, Aux: 91_674, A: 69_433, B: 66_793},
		Window:  Circuit{Rows: 21_889, Inputs: 23, Aux: 22_128, A: 16_793, B: 16_029},
		Update:  Circuit{Rows: 1_705_044, Inputs: 5, Aux: 1_703_569, A: 1_697_194, B: 444_404},
	},
	8 << 20: {
		PoRep:   Circuit{Rows: 3_844_969, Inputs: 40, Aux: 3_842_449, A: 3_815_036, B: 1_011_290},
		Winning: Circuit{Rows: 230_803, Inputs: 133, Aux: 233_442, A: 176_881, B: 169_489},
		Window:  Circuit{Rows: 64_289, Inputs: 23, Aux: 65_088, A: 49_353, B: 47_149},
		Update:  Circuit{Rows: 10_007_508, Inputs: 5, Aux: 9_998_039, A: 9_981_020, B: 2_567_922},
	},
	512 << 20: {
		PoRep:   Circuit{Rows: 4_423_473, Inputs: 40, Aux: 4_420_837, A: 4_385_080, B: 1_174_174},
		Winning: Circuit{Rows: 300_763, Inputs: 133, Aux: 304_326, A: 230_605, B: 220_837},
		Window:  Circuit{Rows: 85_489, Inputs: 23, Aux: 86_568, A: 65_633, B: 62_709},
		Update:  Circuit{Rows: 57_450_484, Inputs: 5, Aux: 57_401_314, A: 57_212_322, B: 14_916_880},
	},
	32 << 30: {
		PoRep:   Circuit{Rows: 130_278_869, Inputs: 328, Aux: 130_169_893, A: 129_753_620, B: 33_112_282},
		Winning: Circuit{Rows: 370_723, Inputs: 133, Aux: 375_210, A: 284_329, B: 272_185},
		Window:  Circuit{Rows: 125_305_057, Inputs: 25_840, Aux: 126_902_376, A: 96_205_645, B: 91_925_767},
		Update:  Circuit{Rows: 81_049_504, Inputs: 5, Aux: 80_978_488, A: 80_743_586, B: 20_983_608},
	},
	64 << 30: {
		PoRep:   Circuit{Rows: 131_186_177, Inputs: 328, Aux: 131_076_643, A: 130_637_870, B: 33_386_944},
		Winning: Circuit{Rows: 391_447, Inputs: 133, Aux: 396_000, A: 299_971, B: 287_695},
		Window:  Circuit{Rows: 129_913_201, Inputs: 25_301, Aux: 131_500_200, A: 99_649_801, B: 95_413_201},
		Update:  Circuit{Rows: 85_006_106, Inputs: 5, Aux: 84_931_220, A: 84_682_730, B: 22_012_684},
	},
}

// Sizes are the sector sizes that Filecoin has, in ascending order.
func Sizes() []abi.SectorSize {
	return []abi.SectorSize{2 << 10, 8 << 20, 512 << 20, 32 << 30, 64 << 30}
}
