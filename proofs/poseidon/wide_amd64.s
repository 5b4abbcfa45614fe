//go:build !purego

#include "textflag.h"

// Field arithmetic on eight elements side by side, in five limbs of 52 bits for the 52-bit multipliers of AVX-512. An
// element v stands for v/2^260: products are reduced as Montgomery does, one limb after the other. Values are below 2^260,
// about 35 times the modulus, and need not be below the modulus; limbs that are stored are below 2^52.
//
// Z0-Z9 are the columns of a product, Z10-Z14 and Z24-Z28 its factors, Z15-Z19 the modulus, Z20 minus its inverse modulo
// 2^52, Z21 a limb of ones, Z22, Z23 and Z29 scratch.

DATA fieldLimbs<>+0(SB)/8, $0x000fffff00000001
DATA fieldLimbs<>+8(SB)/8, $0x00002fffe5bfefff
DATA fieldLimbs<>+16(SB)/8, $0x0009a1d80553bda4
DATA fieldLimbs<>+24(SB)/8, $0x0007d483339d8080
DATA fieldLimbs<>+32(SB)/8, $0x000073eda753299d
DATA fieldLimbs<>+40(SB)/8, $0x000ffffeffffffff
DATA fieldLimbs<>+48(SB)/8, $0x000fffffffffffff
GLOBL fieldLimbs<>(SB), NOPTR|RODATA, $56

#define FIELD \
	LEAQ         fieldLimbs<>(SB), AX; \
	VPBROADCASTQ 0(AX), Z15; \
	VPBROADCASTQ 8(AX), Z16; \
	VPBROADCASTQ 16(AX), Z17; \
	VPBROADCASTQ 24(AX), Z18; \
	VPBROADCASTQ 32(AX), Z19; \
	VPBROADCASTQ 40(AX), Z20; \
	VPBROADCASTQ 48(AX), Z21

#define CLEAR \
	VPXORQ Z0, Z0, Z0; \
	VPXORQ Z1, Z1, Z1; \
	VPXORQ Z2, Z2, Z2; \
	VPXORQ Z3, Z3, Z3; \
	VPXORQ Z4, Z4, Z4; \
	VPXORQ Z5, Z5, Z5; \
	VPXORQ Z6, Z6, Z6; \
	VPXORQ Z7, Z7, Z7; \
	VPXORQ Z8, Z8, Z8; \
	VPXORQ Z9, Z9, Z9

#define LOAD(p, z0, z1, z2, z3, z4) \
	VMOVDQU64 0(p), z0; \
	VMOVDQU64 64(p), z1; \
	VMOVDQU64 128(p), z2; \
	VMOVDQU64 192(p), z3; \
	VMOVDQU64 256(p), z4

#define STORE(p) \
	VMOVDQU64 Z5, 0(p); \
	VMOVDQU64 Z6, 64(p); \
	VMOVDQU64 Z7, 128(p); \
	VMOVDQU64 Z8, 192(p); \
	VMOVDQU64 Z9, 256(p)

#define SPREAD(p) \
	VPBROADCASTQ 0(p), Z24; \
	VPBROADCASTQ 8(p), Z25; \
	VPBROADCASTQ 16(p), Z26; \
	VPBROADCASTQ 24(p), Z27; \
	VPBROADCASTQ 32(p), Z28

// ADDKEY adds a constant to the upper columns.
#define ADDKEY(p) \
	VPADDQ.BCST 0(p), Z5, Z5; \
	VPADDQ.BCST 8(p), Z6, Z6; \
	VPADDQ.BCST 16(p), Z7, Z7; \
	VPADDQ.BCST 24(p), Z8, Z8; \
	VPADDQ.BCST 32(p), Z9, Z9

// ADDMEM adds elements to the upper columns.
#define ADDMEM(p) \
	VPADDQ 0(p), Z5, Z5; \
	VPADDQ 64(p), Z6, Z6; \
	VPADDQ 128(p), Z7, Z7; \
	VPADDQ 192(p), Z8, Z8; \
	VPADDQ 256(p), Z9, Z9

// ROW adds limb a times Z24-Z28 to six columns.
#define ROW(a, c0, c1, c2, c3, c4, c5) \
	VPMADD52LUQ Z24, a, c0; \
	VPMADD52LUQ Z25, a, c1; \
	VPMADD52LUQ Z26, a, c2; \
	VPMADD52LUQ Z27, a, c3; \
	VPMADD52LUQ Z28, a, c4; \
	VPMADD52HUQ Z24, a, c1; \
	VPMADD52HUQ Z25, a, c2; \
	VPMADD52HUQ Z26, a, c3; \
	VPMADD52HUQ Z27, a, c4; \
	VPMADD52HUQ Z28, a, c5

#define PRODUCT \
	CLEAR; \
	ROW(Z10, Z0, Z1, Z2, Z3, Z4, Z5); \
	ROW(Z11, Z1, Z2, Z3, Z4, Z5, Z6); \
	ROW(Z12, Z2, Z3, Z4, Z5, Z6, Z7); \
	ROW(Z13, Z3, Z4, Z5, Z6, Z7, Z8); \
	ROW(Z14, Z4, Z5, Z6, Z7, Z8, Z9)

// CROSS adds a product of two limbs to two columns.
#define CROSS(a, b, lo, hi) \
	VPMADD52LUQ a, b, lo; \
	VPMADD52HUQ a, b, hi

// SQUARE is PRODUCT of Z10-Z14 with themselves: products of different limbs once, doubled, then the squares.
#define SQUARE \
	CLEAR; \
	CROSS(Z10, Z11, Z1, Z2); \
	CROSS(Z11, Z12, Z3, Z4); \
	CROSS(Z12, Z13, Z5, Z6); \
	CROSS(Z13, Z14, Z7, Z8); \
	CROSS(Z10, Z12, Z2, Z3); \
	CROSS(Z11, Z13, Z4, Z5); \
	CROSS(Z12, Z14, Z6, Z7); \
	CROSS(Z10, Z13, Z3, Z4); \
	CROSS(Z11, Z14, Z5, Z6); \
	CROSS(Z10, Z14, Z4, Z5); \
	VPADDQ Z1, Z1, Z1; \
	VPADDQ Z2, Z2, Z2; \
	VPADDQ Z3, Z3, Z3; \
	VPADDQ Z4, Z4, Z4; \
	VPADDQ Z5, Z5, Z5; \
	VPADDQ Z6, Z6, Z6; \
	VPADDQ Z7, Z7, Z7; \
	VPADDQ Z8, Z8, Z8; \
	CROSS(Z10, Z10, Z0, Z1); \
	CROSS(Z11, Z11, Z2, Z3); \
	CROSS(Z12, Z12, Z4, Z5); \
	CROSS(Z13, Z13, Z6, Z7); \
	CROSS(Z14, Z14, Z8, Z9)

// FOLD adds the multiple of the modulus that clears the lowest limb of column c0, and carries what is above into c1. What
// is added to that limb is known beforehand, it fills it up to 2^52 unless it is zero; and c1, which the next multiple
// waits for, is done first and by two short chains.
#define FOLD(c0, c1, c2, c3, c4, c5) \
	VPXORQ      Z22, Z22, Z22; \
	VPMADD52LUQ Z20, c0, Z22; \
	VPADDQ      Z21, c0, c0; \
	VPSRLQ      $52, c0, c0; \
	VPADDQ      c0, c1, c1; \
	VPXORQ      Z29, Z29, Z29; \
	VPMADD52HUQ Z15, Z22, Z29; \
	VPMADD52LUQ Z16, Z22, c1; \
	VPADDQ      Z29, c1, c1; \
	VPMADD52LUQ Z17, Z22, c2; \
	VPMADD52LUQ Z18, Z22, c3; \
	VPMADD52LUQ Z19, Z22, c4; \
	VPMADD52HUQ Z16, Z22, c2; \
	VPMADD52HUQ Z17, Z22, c3; \
	VPMADD52HUQ Z18, Z22, c4; \
	VPMADD52HUQ Z19, Z22, c5

// REDUCE leaves the product divided by 2^260 in Z5-Z9, limbs not yet carried.
#define REDUCE \
	FOLD(Z0, Z1, Z2, Z3, Z4, Z5); \
	FOLD(Z1, Z2, Z3, Z4, Z5, Z6); \
	FOLD(Z2, Z3, Z4, Z5, Z6, Z7); \
	FOLD(Z3, Z4, Z5, Z6, Z7, Z8); \
	FOLD(Z4, Z5, Z6, Z7, Z8, Z9)

#define CARRY1(c, up) \
	VPSRLQ $52, c, Z23; \
	VPANDQ Z21, c, c; \
	VPADDQ Z23, up, up

#define CARRY \
	CARRY1(Z5, Z6); \
	CARRY1(Z6, Z7); \
	CARRY1(Z7, Z8); \
	CARRY1(Z8, Z9)

#define TURN \
	VMOVDQA64 Z5, Z10; \
	VMOVDQA64 Z6, Z11; \
	VMOVDQA64 Z7, Z12; \
	VMOVDQA64 Z8, Z13; \
	VMOVDQA64 Z9, Z14

// func power5(x *octet, keys *limbs, n int)
TEXT ·power5(SB), NOSPLIT, $0-24
	MOVQ x+0(FP), DI
	MOVQ keys+8(FP), SI
	MOVQ n+16(FP), CX
	FIELD

power:
	LOAD(DI, Z10, Z11, Z12, Z13, Z14)
	SQUARE
	REDUCE
	CARRY
	TURN
	SQUARE
	REDUCE
	CARRY
	TURN
	LOAD(DI, Z24, Z25, Z26, Z27, Z28)
	PRODUCT
	REDUCE
	ADDKEY(SI)
	CARRY
	STORE(DI)
	ADDQ $320, DI
	ADDQ $40, SI
	DECQ CX
	JNZ  power
	VZEROUPPER
	RET

// func scaleAll(x *octet, by, keys *limbs, n int)
TEXT ·scaleAll(SB), NOSPLIT, $0-32
	MOVQ x+0(FP), DI
	MOVQ by+8(FP), DX
	MOVQ keys+16(FP), SI
	MOVQ n+24(FP), CX
	FIELD
	SPREAD(DX)

one:
	LOAD(DI, Z10, Z11, Z12, Z13, Z14)
	PRODUCT
	REDUCE
	ADDKEY(SI)
	CARRY
	STORE(DI)
	ADDQ $320, DI
	ADDQ $40, SI
	DECQ CX
	JNZ  one
	VZEROUPPER
	RET

// LOW and HIGH are the halves of ROW into columns of their own, so that the sums of many products are shorter chains.
#define LOW(a, c0, c1, c2, c3, c4) \
	VPMADD52LUQ Z24, a, c0; \
	VPMADD52LUQ Z25, a, c1; \
	VPMADD52LUQ Z26, a, c2; \
	VPMADD52LUQ Z27, a, c3; \
	VPMADD52LUQ Z28, a, c4

#define HIGH(a, c0, c1, c2, c3, c4) \
	VPMADD52HUQ Z24, a, c0; \
	VPMADD52HUQ Z25, a, c1; \
	VPMADD52HUQ Z26, a, c2; \
	VPMADD52HUQ Z27, a, c3; \
	VPMADD52HUQ Z28, a, c4

// SUM adds up CX products of elements at R8 and constants at R9 and reduces the sum. Columns of high halves are Z15-Z23.
#define SUM(loop) \
	CLEAR; \
	VPXORQ Z15, Z15, Z15; \
	VPXORQ Z16, Z16, Z16; \
	VPXORQ Z17, Z17, Z17; \
	VPXORQ Z18, Z18, Z18; \
	VPXORQ Z19, Z19, Z19; \
	VPXORQ Z20, Z20, Z20; \
	VPXORQ Z21, Z21, Z21; \
	VPXORQ Z22, Z22, Z22; \
	VPXORQ Z23, Z23, Z23; \
loop: \
	LOAD(R8, Z10, Z11, Z12, Z13, Z14); \
	SPREAD(R9); \
	LOW(Z10, Z0, Z1, Z2, Z3, Z4); \
	HIGH(Z10, Z15, Z16, Z17, Z18, Z19); \
	LOW(Z11, Z1, Z2, Z3, Z4, Z5); \
	HIGH(Z11, Z16, Z17, Z18, Z19, Z20); \
	LOW(Z12, Z2, Z3, Z4, Z5, Z6); \
	HIGH(Z12, Z17, Z18, Z19, Z20, Z21); \
	LOW(Z13, Z3, Z4, Z5, Z6, Z7); \
	HIGH(Z13, Z18, Z19, Z20, Z21, Z22); \
	LOW(Z14, Z4, Z5, Z6, Z7, Z8); \
	HIGH(Z14, Z19, Z20, Z21, Z22, Z23); \
	ADDQ $320, R8; \
	ADDQ $40, R9; \
	DECQ CX; \
	JNZ  loop; \
	VPADDQ Z15, Z1, Z1; \
	VPADDQ Z16, Z2, Z2; \
	VPADDQ Z17, Z3, Z3; \
	VPADDQ Z18, Z4, Z4; \
	VPADDQ Z19, Z5, Z5; \
	VPADDQ Z20, Z6, Z6; \
	VPADDQ Z21, Z7, Z7; \
	VPADDQ Z22, Z8, Z8; \
	VPADDQ Z23, Z9, Z9; \
	FIELD; \
	REDUCE; \
	CARRY

// func dense(out, x *octet, matrix *limbs, n int)
TEXT ·dense(SB), NOSPLIT, $0-32
	MOVQ out+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ matrix+16(FP), R9
	MOVQ n+24(FP), DX
	MOVQ DX, R10

column:
	MOVQ SI, R8
	MOVQ DX, CX
	SUM(term)
	STORE(DI)
	ADDQ $320, DI
	DECQ R10
	JNZ  column
	VZEROUPPER
	RET

// func sparse(x *octet, first, rest *limbs, n int)
TEXT ·sparse(SB), NOSPLIT, $0-32
	MOVQ x+0(FP), DI
	MOVQ first+8(FP), R9
	MOVQ rest+16(FP), DX
	MOVQ n+24(FP), CX
	MOVQ DI, R8
	MOVQ CX, R10
	SUM(term)
	LOAD(DI, Z10, Z11, Z12, Z13, Z14)
	STORE(DI)
	DECQ R10

update:
	ADDQ $320, DI
	SPREAD(DX)
	PRODUCT
	REDUCE
	ADDMEM(DI)
	CARRY
	STORE(DI)
	ADDQ $40, DX
	DECQ R10
	JNZ  update
	VZEROUPPER
	RET
