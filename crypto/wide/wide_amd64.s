//go:build !purego

#include "funcdata.h"
#include "textflag.h"

// The base field of BLS12-381 on eight elements side by side, in eight limbs of 52 bits for the 52-bit multipliers of
// AVX-512; an element v stands for v/2^416. In memory eight elements are eight limbs of eight lanes (an octet, 512 bytes);
// a point is two rows of eight limbs, x and y. Limbs in memory are below 2^52, coordinates of points below twice the
// modulus, factors of a product below four times.
//
// Z8-Z15 are a result, Z16-Z23 the first factor of a product; R8 points to the second one.

DATA base<>+0(SB)/8, $0x000effffffffaaab
DATA base<>+8(SB)/8, $0x000feb153ffffb9f
DATA base<>+16(SB)/8, $0x0006b0f6241eabff
DATA base<>+24(SB)/8, $0x00012bf6730d2a0f
DATA base<>+32(SB)/8, $0x000764774b84f385
DATA base<>+40(SB)/8, $0x0001ba7b6434bacd
DATA base<>+48(SB)/8, $0x0001ea397fe69a4b
DATA base<>+56(SB)/8, $0x000000000001a011
DATA base<>+64(SB)/8, $0x001dffffffff5556
DATA base<>+72(SB)/8, $0x001fd62a7ffff73e
DATA base<>+80(SB)/8, $0x000d61ec483d57fe
DATA base<>+88(SB)/8, $0x000257ece61a541e
DATA base<>+96(SB)/8, $0x000ec8ee9709e70a
DATA base<>+104(SB)/8, $0x000374f6c869759a
DATA base<>+112(SB)/8, $0x0003d472ffcd3496
DATA base<>+120(SB)/8, $0x0000000000034022
DATA base<>+128(SB)/8, $0x0003fffcfffcfffd
DATA base<>+136(SB)/8, $0x000fffffffffffff
GLOBL base<>(SB), NOPTR|RODATA, $144

// Places in base: the modulus, twice the modulus, minus the inverse of the modulus and a limb of ones.
#define MODULUS 0
#define TWICE 64
#define INVERSE 128
#define ONES 136

// ROW adds a limb of the second factor times Z16-Z23 to nine columns.
#define ROW(at, c0, c1, c2, c3, c4, c5, c6, c7, c8) \
	VMOVDQU64 at(R8), Z24; \
	VPMADD52LUQ Z16, Z24, c0; \
	VPMADD52LUQ Z17, Z24, c1; \
	VPMADD52LUQ Z18, Z24, c2; \
	VPMADD52LUQ Z19, Z24, c3; \
	VPMADD52LUQ Z20, Z24, c4; \
	VPMADD52LUQ Z21, Z24, c5; \
	VPMADD52LUQ Z22, Z24, c6; \
	VPMADD52LUQ Z23, Z24, c7; \
	VPMADD52HUQ Z16, Z24, c1; \
	VPMADD52HUQ Z17, Z24, c2; \
	VPMADD52HUQ Z18, Z24, c3; \
	VPMADD52HUQ Z19, Z24, c4; \
	VPMADD52HUQ Z20, Z24, c5; \
	VPMADD52HUQ Z21, Z24, c6; \
	VPMADD52HUQ Z22, Z24, c7; \
	VPMADD52HUQ Z23, Z24, c8

// FOLD adds the multiple of the modulus (Z16-Z23) that clears the lowest limb of c0, and carries the rest into c1. What is
// added to that limb is known beforehand, it fills it up to 2^52 unless it is zero; and c1, which the next multiple waits
// for, is done first and by two short chains.
#define FOLD(c0, c1, c2, c3, c4, c5, c6, c7, c8) \
	VPXORQ Z24, Z24, Z24; \
	VPMADD52LUQ Z25, c0, Z24; \
	VPADDQ Z26, c0, c0; \
	VPSRLQ $52, c0, c0; \
	VPADDQ c0, c1, c1; \
	VPXORQ Z27, Z27, Z27; \
	VPMADD52HUQ Z16, Z24, Z27; \
	VPMADD52LUQ Z17, Z24, c1; \
	VPADDQ Z27, c1, c1; \
	VPMADD52LUQ Z18, Z24, c2; \
	VPMADD52LUQ Z19, Z24, c3; \
	VPMADD52LUQ Z20, Z24, c4; \
	VPMADD52LUQ Z21, Z24, c5; \
	VPMADD52LUQ Z22, Z24, c6; \
	VPMADD52LUQ Z23, Z24, c7; \
	VPMADD52HUQ Z17, Z24, c2; \
	VPMADD52HUQ Z18, Z24, c3; \
	VPMADD52HUQ Z19, Z24, c4; \
	VPMADD52HUQ Z20, Z24, c5; \
	VPMADD52HUQ Z21, Z24, c6; \
	VPMADD52HUQ Z22, Z24, c7; \
	VPMADD52HUQ Z23, Z24, c8

// CARRY1 leaves 52 bits in c and adds the rest, which may be negative, to up; Z26 is a limb of ones.
#define CARRY1(c, up) \
	VPSRAQ $52, c, Z24; \
	VPANDQ Z26, c, c; \
	VPADDQ Z24, up, up

#define CARRY \
	CARRY1(Z8, Z9); \
	CARRY1(Z9, Z10); \
	CARRY1(Z10, Z11); \
	CARRY1(Z11, Z12); \
	CARRY1(Z12, Z13); \
	CARRY1(Z13, Z14); \
	CARRY1(Z14, Z15)

// CLEAR, TIMES and REDUCE are the parts of a product: sixteen columns Z0-Z15 of nothing, Z16-Z23 times the octet at R8 added
// to them, and their sum divided by 2^416 in Z8-Z15. Two products may go into the columns before they are reduced.
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
	VPXORQ Z9, Z9, Z9; \
	VPXORQ Z10, Z10, Z10; \
	VPXORQ Z11, Z11, Z11; \
	VPXORQ Z12, Z12, Z12; \
	VPXORQ Z13, Z13, Z13; \
	VPXORQ Z14, Z14, Z14; \
	VPXORQ Z15, Z15, Z15

#define TIMES \
	ROW(0, Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8); \
	ROW(64, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9); \
	ROW(128, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10); \
	ROW(192, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11); \
	ROW(256, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12); \
	ROW(320, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13); \
	ROW(384, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14); \
	ROW(448, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15)

// SQUARE is TIMES with the first factor for the second one, too, and into columns of nothing: what is between two different limbs
// comes twice.
#define SQUARE \
	VPMADD52LUQ Z16, Z17, Z1; \
	VPMADD52LUQ Z16, Z18, Z2; \
	VPMADD52LUQ Z16, Z19, Z3; \
	VPMADD52LUQ Z16, Z20, Z4; \
	VPMADD52LUQ Z16, Z21, Z5; \
	VPMADD52LUQ Z16, Z22, Z6; \
	VPMADD52LUQ Z16, Z23, Z7; \
	VPMADD52HUQ Z16, Z17, Z2; \
	VPMADD52HUQ Z16, Z18, Z3; \
	VPMADD52HUQ Z16, Z19, Z4; \
	VPMADD52HUQ Z16, Z20, Z5; \
	VPMADD52HUQ Z16, Z21, Z6; \
	VPMADD52HUQ Z16, Z22, Z7; \
	VPMADD52HUQ Z16, Z23, Z8; \
	VPMADD52LUQ Z17, Z18, Z3; \
	VPMADD52LUQ Z17, Z19, Z4; \
	VPMADD52LUQ Z17, Z20, Z5; \
	VPMADD52LUQ Z17, Z21, Z6; \
	VPMADD52LUQ Z17, Z22, Z7; \
	VPMADD52LUQ Z17, Z23, Z8; \
	VPMADD52HUQ Z17, Z18, Z4; \
	VPMADD52HUQ Z17, Z19, Z5; \
	VPMADD52HUQ Z17, Z20, Z6; \
	VPMADD52HUQ Z17, Z21, Z7; \
	VPMADD52HUQ Z17, Z22, Z8; \
	VPMADD52HUQ Z17, Z23, Z9; \
	VPMADD52LUQ Z18, Z19, Z5; \
	VPMADD52LUQ Z18, Z20, Z6; \
	VPMADD52LUQ Z18, Z21, Z7; \
	VPMADD52LUQ Z18, Z22, Z8; \
	VPMADD52LUQ Z18, Z23, Z9; \
	VPMADD52HUQ Z18, Z19, Z6; \
	VPMADD52HUQ Z18, Z20, Z7; \
	VPMADD52HUQ Z18, Z21, Z8; \
	VPMADD52HUQ Z18, Z22, Z9; \
	VPMADD52HUQ Z18, Z23, Z10; \
	VPMADD52LUQ Z19, Z20, Z7; \
	VPMADD52LUQ Z19, Z21, Z8; \
	VPMADD52LUQ Z19, Z22, Z9; \
	VPMADD52LUQ Z19, Z23, Z10; \
	VPMADD52HUQ Z19, Z20, Z8; \
	VPMADD52HUQ Z19, Z21, Z9; \
	VPMADD52HUQ Z19, Z22, Z10; \
	VPMADD52HUQ Z19, Z23, Z11; \
	VPMADD52LUQ Z20, Z21, Z9; \
	VPMADD52LUQ Z20, Z22, Z10; \
	VPMADD52LUQ Z20, Z23, Z11; \
	VPMADD52HUQ Z20, Z21, Z10; \
	VPMADD52HUQ Z20, Z22, Z11; \
	VPMADD52HUQ Z20, Z23, Z12; \
	VPMADD52LUQ Z21, Z22, Z11; \
	VPMADD52LUQ Z21, Z23, Z12; \
	VPMADD52HUQ Z21, Z22, Z12; \
	VPMADD52HUQ Z21, Z23, Z13; \
	VPMADD52LUQ Z22, Z23, Z13; \
	VPMADD52HUQ Z22, Z23, Z14; \
	VPADDQ Z1, Z1, Z1; \
	VPADDQ Z2, Z2, Z2; \
	VPADDQ Z3, Z3, Z3; \
	VPADDQ Z4, Z4, Z4; \
	VPADDQ Z5, Z5, Z5; \
	VPADDQ Z6, Z6, Z6; \
	VPADDQ Z7, Z7, Z7; \
	VPADDQ Z8, Z8, Z8; \
	VPADDQ Z9, Z9, Z9; \
	VPADDQ Z10, Z10, Z10; \
	VPADDQ Z11, Z11, Z11; \
	VPADDQ Z12, Z12, Z12; \
	VPADDQ Z13, Z13, Z13; \
	VPADDQ Z14, Z14, Z14; \
	VPMADD52LUQ Z16, Z16, Z0; \
	VPMADD52HUQ Z16, Z16, Z1; \
	VPMADD52LUQ Z17, Z17, Z2; \
	VPMADD52HUQ Z17, Z17, Z3; \
	VPMADD52LUQ Z18, Z18, Z4; \
	VPMADD52HUQ Z18, Z18, Z5; \
	VPMADD52LUQ Z19, Z19, Z6; \
	VPMADD52HUQ Z19, Z19, Z7; \
	VPMADD52LUQ Z20, Z20, Z8; \
	VPMADD52HUQ Z20, Z20, Z9; \
	VPMADD52LUQ Z21, Z21, Z10; \
	VPMADD52HUQ Z21, Z21, Z11; \
	VPMADD52LUQ Z22, Z22, Z12; \
	VPMADD52HUQ Z22, Z22, Z13; \
	VPMADD52LUQ Z23, Z23, Z14; \
	VPMADD52HUQ Z23, Z23, Z15

#define REDUCE \
	LEAQ base<>(SB), AX; \
	VPBROADCASTQ MODULUS+0(AX), Z16; \
	VPBROADCASTQ MODULUS+8(AX), Z17; \
	VPBROADCASTQ MODULUS+16(AX), Z18; \
	VPBROADCASTQ MODULUS+24(AX), Z19; \
	VPBROADCASTQ MODULUS+32(AX), Z20; \
	VPBROADCASTQ MODULUS+40(AX), Z21; \
	VPBROADCASTQ MODULUS+48(AX), Z22; \
	VPBROADCASTQ MODULUS+56(AX), Z23; \
	VPBROADCASTQ INVERSE(AX), Z25; \
	VPBROADCASTQ ONES(AX), Z26; \
	FOLD(Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8); \
	FOLD(Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9); \
	FOLD(Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10); \
	FOLD(Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11); \
	FOLD(Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12); \
	FOLD(Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13); \
	FOLD(Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14); \
	FOLD(Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15); \
	CARRY

// product sets Z8-Z15 to Z16-Z23 times the octet at R8, divided by 2^416: below the modulus and a trifle. It uses all of
// Z0-Z27 and AX.
TEXT product<>(SB), NOSPLIT, $0-0
	CLEAR
	TIMES
	REDUCE
	RET

// square sets Z8-Z15 to Z16-Z23 times itself, as product does.
TEXT square<>(SB), NOSPLIT, $0-0
	CLEAR
	SQUARE
	REDUCE
	RET

// times adds Z16-Z23 times the octet at R8 to the columns, reduce divides them by 2^416.
TEXT times<>(SB), NOSPLIT, $0-0
	TIMES
	RET

TEXT reduce<>(SB), NOSPLIT, $0-0
	REDUCE
	RET

// SAVE and LOAD move Z8-Z15 to an octet and back, FACTOR loads an octet as first factor, TURN makes the result one.
#define SAVE(p, at) \
	VMOVDQU64 Z8, at+0(p); \
	VMOVDQU64 Z9, at+64(p); \
	VMOVDQU64 Z10, at+128(p); \
	VMOVDQU64 Z11, at+192(p); \
	VMOVDQU64 Z12, at+256(p); \
	VMOVDQU64 Z13, at+320(p); \
	VMOVDQU64 Z14, at+384(p); \
	VMOVDQU64 Z15, at+448(p)

#define LOAD(p, at) \
	VMOVDQU64 at+0(p), Z8; \
	VMOVDQU64 at+64(p), Z9; \
	VMOVDQU64 at+128(p), Z10; \
	VMOVDQU64 at+192(p), Z11; \
	VMOVDQU64 at+256(p), Z12; \
	VMOVDQU64 at+320(p), Z13; \
	VMOVDQU64 at+384(p), Z14; \
	VMOVDQU64 at+448(p), Z15

#define FACTOR(p, at) \
	VMOVDQU64 at+0(p), Z16; \
	VMOVDQU64 at+64(p), Z17; \
	VMOVDQU64 at+128(p), Z18; \
	VMOVDQU64 at+192(p), Z19; \
	VMOVDQU64 at+256(p), Z20; \
	VMOVDQU64 at+320(p), Z21; \
	VMOVDQU64 at+384(p), Z22; \
	VMOVDQU64 at+448(p), Z23

#define TURN \
	VMOVDQA64 Z8, Z16; \
	VMOVDQA64 Z9, Z17; \
	VMOVDQA64 Z10, Z18; \
	VMOVDQA64 Z11, Z19; \
	VMOVDQA64 Z12, Z20; \
	VMOVDQA64 Z13, Z21; \
	VMOVDQA64 Z14, Z22; \
	VMOVDQA64 Z15, Z23

// MINUS subtracts an octet and AND adds one; PLUS adds a constant of base and LESS subtracts one.
#define MINUS(p, at) \
	VPSUBQ at+0(p), Z8, Z8; \
	VPSUBQ at+64(p), Z9, Z9; \
	VPSUBQ at+128(p), Z10, Z10; \
	VPSUBQ at+192(p), Z11, Z11; \
	VPSUBQ at+256(p), Z12, Z12; \
	VPSUBQ at+320(p), Z13, Z13; \
	VPSUBQ at+384(p), Z14, Z14; \
	VPSUBQ at+448(p), Z15, Z15

#define AND(p, at) \
	VPADDQ at+0(p), Z8, Z8; \
	VPADDQ at+64(p), Z9, Z9; \
	VPADDQ at+128(p), Z10, Z10; \
	VPADDQ at+192(p), Z11, Z11; \
	VPADDQ at+256(p), Z12, Z12; \
	VPADDQ at+320(p), Z13, Z13; \
	VPADDQ at+384(p), Z14, Z14; \
	VPADDQ at+448(p), Z15, Z15

#define LESS(what) \
	VPSUBQ.BCST what+0(AX), Z8, Z8; \
	VPSUBQ.BCST what+8(AX), Z9, Z9; \
	VPSUBQ.BCST what+16(AX), Z10, Z10; \
	VPSUBQ.BCST what+24(AX), Z11, Z11; \
	VPSUBQ.BCST what+32(AX), Z12, Z12; \
	VPSUBQ.BCST what+40(AX), Z13, Z13; \
	VPSUBQ.BCST what+48(AX), Z14, Z14; \
	VPSUBQ.BCST what+56(AX), Z15, Z15

#define PLUS(what) \
	VPADDQ.BCST what+0(AX), Z8, Z8; \
	VPADDQ.BCST what+8(AX), Z9, Z9; \
	VPADDQ.BCST what+16(AX), Z10, Z10; \
	VPADDQ.BCST what+24(AX), Z11, Z11; \
	VPADDQ.BCST what+32(AX), Z12, Z12; \
	VPADDQ.BCST what+40(AX), Z13, Z13; \
	VPADDQ.BCST what+48(AX), Z14, Z14; \
	VPADDQ.BCST what+56(AX), Z15, Z15

// IFNEGATIVE adds a constant of base in the lanes whose value is negative; limbs need not be carried.
#define IFNEGATIVE(what) \
	VPSRAQ $52, Z8, Z24; \
	VPADDQ Z9, Z24, Z24; \
	VPSRAQ $52, Z24, Z24; \
	VPADDQ Z10, Z24, Z24; \
	VPSRAQ $52, Z24, Z24; \
	VPADDQ Z11, Z24, Z24; \
	VPSRAQ $52, Z24, Z24; \
	VPADDQ Z12, Z24, Z24; \
	VPSRAQ $52, Z24, Z24; \
	VPADDQ Z13, Z24, Z24; \
	VPSRAQ $52, Z24, Z24; \
	VPADDQ Z14, Z24, Z24; \
	VPSRAQ $52, Z24, Z24; \
	VPADDQ Z15, Z24, Z24; \
	VPMOVQ2M Z24, K1; \
	VPADDQ.BCST what+0(AX), Z8, K1, Z8; \
	VPADDQ.BCST what+8(AX), Z9, K1, Z9; \
	VPADDQ.BCST what+16(AX), Z10, K1, Z10; \
	VPADDQ.BCST what+24(AX), Z11, K1, Z11; \
	VPADDQ.BCST what+32(AX), Z12, K1, Z12; \
	VPADDQ.BCST what+40(AX), Z13, K1, Z13; \
	VPADDQ.BCST what+48(AX), Z14, K1, Z14; \
	VPADDQ.BCST what+56(AX), Z15, K1, Z15

// ROWS loads eight rows into Z0-Z7: of the points of an array whose numbers stand at idx. UNROWS stores Z8-Z15 there.
#define ROWS(p, idx, at) \
	MOVL 0(idx), R9; \
	SHLQ $7, R9; \
	VMOVDQU64 at(p)(R9*1), Z0; \
	MOVL 4(idx), R9; \
	SHLQ $7, R9; \
	VMOVDQU64 at(p)(R9*1), Z1; \
	MOVL 8(idx), R9; \
	SHLQ $7, R9; \
	VMOVDQU64 at(p)(R9*1), Z2; \
	MOVL 12(idx), R9; \
	SHLQ $7, R9; \
	VMOVDQU64 at(p)(R9*1), Z3; \
	MOVL 16(idx), R9; \
	SHLQ $7, R9; \
	VMOVDQU64 at(p)(R9*1), Z4; \
	MOVL 20(idx), R9; \
	SHLQ $7, R9; \
	VMOVDQU64 at(p)(R9*1), Z5; \
	MOVL 24(idx), R9; \
	SHLQ $7, R9; \
	VMOVDQU64 at(p)(R9*1), Z6; \
	MOVL 28(idx), R9; \
	SHLQ $7, R9; \
	VMOVDQU64 at(p)(R9*1), Z7

#define UNROWS(p, idx, at) \
	MOVL 0(idx), R9; \
	SHLQ $7, R9; \
	VMOVDQU64 Z8, at(p)(R9*1); \
	MOVL 4(idx), R9; \
	SHLQ $7, R9; \
	VMOVDQU64 Z9, at(p)(R9*1); \
	MOVL 8(idx), R9; \
	SHLQ $7, R9; \
	VMOVDQU64 Z10, at(p)(R9*1); \
	MOVL 12(idx), R9; \
	SHLQ $7, R9; \
	VMOVDQU64 Z11, at(p)(R9*1); \
	MOVL 16(idx), R9; \
	SHLQ $7, R9; \
	VMOVDQU64 Z12, at(p)(R9*1); \
	MOVL 20(idx), R9; \
	SHLQ $7, R9; \
	VMOVDQU64 Z13, at(p)(R9*1); \
	MOVL 24(idx), R9; \
	SHLQ $7, R9; \
	VMOVDQU64 Z14, at(p)(R9*1); \
	MOVL 28(idx), R9; \
	SHLQ $7, R9; \
	VMOVDQU64 Z15, at(p)(R9*1)

// MIRROR turns the eight rows in Z0-Z7 into eight limbs of lanes in Z8-Z15, or back.
#define MIRROR \
	VPUNPCKLQDQ Z1, Z0, Z16; \
	VPUNPCKHQDQ Z1, Z0, Z17; \
	VPUNPCKLQDQ Z3, Z2, Z18; \
	VPUNPCKHQDQ Z3, Z2, Z19; \
	VPUNPCKLQDQ Z5, Z4, Z20; \
	VPUNPCKHQDQ Z5, Z4, Z21; \
	VPUNPCKLQDQ Z7, Z6, Z22; \
	VPUNPCKHQDQ Z7, Z6, Z23; \
	VSHUFI64X2 $0x88, Z18, Z16, Z0; \
	VSHUFI64X2 $0xdd, Z18, Z16, Z1; \
	VSHUFI64X2 $0x88, Z22, Z20, Z2; \
	VSHUFI64X2 $0xdd, Z22, Z20, Z3; \
	VSHUFI64X2 $0x88, Z19, Z17, Z4; \
	VSHUFI64X2 $0xdd, Z19, Z17, Z5; \
	VSHUFI64X2 $0x88, Z23, Z21, Z6; \
	VSHUFI64X2 $0xdd, Z23, Z21, Z7; \
	VSHUFI64X2 $0x88, Z2, Z0, Z8; \
	VSHUFI64X2 $0xdd, Z2, Z0, Z12; \
	VSHUFI64X2 $0x88, Z3, Z1, Z10; \
	VSHUFI64X2 $0xdd, Z3, Z1, Z14; \
	VSHUFI64X2 $0x88, Z6, Z4, Z9; \
	VSHUFI64X2 $0xdd, Z6, Z4, Z13; \
	VSHUFI64X2 $0x88, Z7, Z5, Z11; \
	VSHUFI64X2 $0xdd, Z7, Z5, Z15

#define LOWER \
	VMOVDQA64 Z8, Z0; \
	VMOVDQA64 Z9, Z1; \
	VMOVDQA64 Z10, Z2; \
	VMOVDQA64 Z11, Z3; \
	VMOVDQA64 Z12, Z4; \
	VMOVDQA64 Z13, Z5; \
	VMOVDQA64 Z14, Z6; \
	VMOVDQA64 Z15, Z7

// Places in a slot.
#define BASEX 0
#define OTHERX 512
#define DELTAX 1024

// AHEAD asks for the points that an octet further on, at idx, will want. It never faults.
#define AHEAD(p, idx, at) \
	MOVL at+0(idx), R9; \
	SHLQ $7, R9; \
	PREFETCHT0 0(p)(R9*1); \
	PREFETCHT0 64(p)(R9*1); \
	MOVL at+4(idx), R9; \
	SHLQ $7, R9; \
	PREFETCHT0 0(p)(R9*1); \
	PREFETCHT0 64(p)(R9*1); \
	MOVL at+8(idx), R9; \
	SHLQ $7, R9; \
	PREFETCHT0 0(p)(R9*1); \
	PREFETCHT0 64(p)(R9*1); \
	MOVL at+12(idx), R9; \
	SHLQ $7, R9; \
	PREFETCHT0 0(p)(R9*1); \
	PREFETCHT0 64(p)(R9*1); \
	MOVL at+16(idx), R9; \
	SHLQ $7, R9; \
	PREFETCHT0 0(p)(R9*1); \
	PREFETCHT0 64(p)(R9*1); \
	MOVL at+20(idx), R9; \
	SHLQ $7, R9; \
	PREFETCHT0 0(p)(R9*1); \
	PREFETCHT0 64(p)(R9*1); \
	MOVL at+24(idx), R9; \
	SHLQ $7, R9; \
	PREFETCHT0 0(p)(R9*1); \
	PREFETCHT0 64(p)(R9*1); \
	MOVL at+28(idx), R9; \
	SHLQ $7, R9; \
	PREFETCHT0 0(p)(R9*1); \
	PREFETCHT0 64(p)(R9*1)

// func begin(s *slot, dst, src *point, di, si *uint32, before, behind *octet)
TEXT ·begin(SB), NOSPLIT, $8-56
	MOVQ s+0(FP), DI
	MOVQ dst+8(FP), R10
	MOVQ src+16(FP), R11
	MOVQ di+24(FP), R12
	MOVQ si+32(FP), R13
	MOVQ before+40(FP), R8
	MOVQ behind+48(FP), SI
	LEAQ base<>(SB), AX

	AHEAD(R10, R12, 64)
	AHEAD(R11, R13, 64)
	ROWS(R10, R12, 0)
	MIRROR
	SAVE(DI, BASEX)
	ROWS(R11, R13, 0)
	MIRROR
	SAVE(DI, OTHERX)
	VPBROADCASTQ ONES(AX), Z26
	MINUS(DI, BASEX)
	PLUS(TWICE)
	CARRY
	SAVE(DI, DELTAX)
	TURN
	CALL product<>(SB)
	SAVE(SI, 0)
	VZEROUPPER
	RET

// Places in the scratch of finish.
#define SLOPE 0
#define X3 512
#define BY 1024

// func finish(s *slot, dst, src *point, di, si *uint32, negative uint8, before, rest *octet, scratch *[3]octet)
TEXT ·finish(SB), NOSPLIT, $8-72
	MOVQ s+0(FP), DI
	MOVQ dst+8(FP), R10
	MOVQ src+16(FP), R11
	MOVQ di+24(FP), R12
	MOVQ si+32(FP), R13
	MOVQ before+48(FP), R8
	MOVQ rest+56(FP), SI
	MOVQ scratch+64(FP), BX

	// The inverse of this slot's difference, and of the product of all before it.
	FACTOR(SI, 0)
	CALL product<>(SB)
	SAVE(BX, SLOPE)
	FACTOR(SI, 0)
	LEAQ DELTAX(DI), R8
	CALL product<>(SB)
	SAVE(SI, 0)

	// The slope: (qy-by)/(qx-bx), qy with its sign.
	ROWS(R10, R12, 64)
	MIRROR
	SAVE(BX, BY)
	ROWS(R11, R13, 64)
	MIRROR
	LEAQ         base<>(SB), AX
	MOVBLZX      negative+40(FP), R9
	KMOVB        R9, K1

	VPBROADCASTQ TWICE+0(AX), Z0
	VPSUBQ Z8, Z0, K1, Z8
	VPBROADCASTQ TWICE+8(AX), Z0
	VPSUBQ Z9, Z0, K1, Z9
	VPBROADCASTQ TWICE+16(AX), Z0
	VPSUBQ Z10, Z0, K1, Z10
	VPBROADCASTQ TWICE+24(AX), Z0
	VPSUBQ Z11, Z0, K1, Z11
	VPBROADCASTQ TWICE+32(AX), Z0
	VPSUBQ Z12, Z0, K1, Z12
	VPBROADCASTQ TWICE+40(AX), Z0
	VPSUBQ Z13, Z0, K1, Z13
	VPBROADCASTQ TWICE+48(AX), Z0
	VPSUBQ Z14, Z0, K1, Z14
	VPBROADCASTQ TWICE+56(AX), Z0
	VPSUBQ Z15, Z0, K1, Z15
	MINUS(BX, BY)
	PLUS(TWICE)
	VPBROADCASTQ ONES(AX), Z26
	CARRY
	TURN
	LEAQ SLOPE(BX), R8
	CALL product<>(SB)
	SAVE(BX, SLOPE)

	// x = slope^2 - bx - qx
	TURN
	CALL product<>(SB)
	MINUS(DI, BASEX)
	MINUS(DI, OTHERX)
	IFNEGATIVE(TWICE)
	IFNEGATIVE(TWICE)
	CARRY
	SAVE(BX, X3)
	LOWER
	MIRROR
	UNROWS(R10, R12, 0)

	// y = slope*(bx-x) - by
	LOAD(DI, BASEX)
	MINUS(BX, X3)
	LEAQ         base<>(SB), AX
	VPBROADCASTQ ONES(AX), Z26
	PLUS(TWICE)
	CARRY
	TURN
	LEAQ SLOPE(BX), R8
	CALL product<>(SB)
	MINUS(BX, BY)
	IFNEGATIVE(TWICE)
	CARRY
	LOWER
	MIRROR
	UNROWS(R10, R12, 64)
	VZEROUPPER
	RET

// func multiply(p *point, by *octet)
TEXT ·multiply(SB), NOSPLIT, $8-16
	MOVQ p+0(FP), DI
	MOVQ by+8(FP), R8
	MOVQ $2, CX

coordinate:
	VMOVDQU64 0(DI), Z0
	VMOVDQU64 128(DI), Z1
	VMOVDQU64 256(DI), Z2
	VMOVDQU64 384(DI), Z3
	VMOVDQU64 512(DI), Z4
	VMOVDQU64 640(DI), Z5
	VMOVDQU64 768(DI), Z6
	VMOVDQU64 896(DI), Z7
	MIRROR
	TURN
	CALL product<>(SB)
	LOWER
	MIRROR
	VMOVDQU64 Z8, 0(DI)
	VMOVDQU64 Z9, 128(DI)
	VMOVDQU64 Z10, 256(DI)
	VMOVDQU64 Z11, 384(DI)
	VMOVDQU64 Z12, 512(DI)
	VMOVDQU64 Z13, 640(DI)
	VMOVDQU64 Z14, 768(DI)
	VMOVDQU64 Z15, 896(DI)
	ADDQ $64, DI
	DECQ CX
	JNZ  coordinate
	VZEROUPPER
	RET

// func mul(z, x, y *octet)
TEXT ·mul(SB), NOSPLIT, $8-24
	MOVQ z+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), R8
	FACTOR(SI, 0)
	CALL product<>(SB)
	SAVE(DI, 0)
	VZEROUPPER
	RET

// func squares(z, x *octet, n int)
TEXT ·squares(SB), NOSPLIT, $8-24
	MOVQ z+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	LOAD(SI, 0)

again:
	TURN
	CALL square<>(SB)
	DECQ CX
	JNZ  again
	SAVE(DI, 0)
	VZEROUPPER
	RET

// func add(z, x, y *octet, n int)
TEXT ·add(SB), NOSPLIT, $0-32
	MOVQ         z+0(FP), DI
	MOVQ         x+8(FP), SI
	MOVQ         y+16(FP), DX
	MOVQ         n+24(FP), CX
	LEAQ         base<>(SB), AX
	VPBROADCASTQ ONES(AX), Z26

next:
	LOAD(SI, 0)
	AND(DX, 0)
	LESS(TWICE)
	IFNEGATIVE(TWICE)
	CARRY
	SAVE(DI, 0)
	ADDQ $512, DI
	ADDQ $512, SI
	ADDQ $512, DX
	DECQ CX
	JNZ  next
	VZEROUPPER
	RET

// func sub(z, x, y *octet, n int)
TEXT ·sub(SB), NOSPLIT, $0-32
	MOVQ         z+0(FP), DI
	MOVQ         x+8(FP), SI
	MOVQ         y+16(FP), DX
	MOVQ         n+24(FP), CX
	LEAQ         base<>(SB), AX
	VPBROADCASTQ ONES(AX), Z26

next:
	LOAD(SI, 0)
	MINUS(DX, 0)
	IFNEGATIVE(TWICE)
	CARRY
	SAVE(DI, 0)
	ADDQ $512, DI
	ADDQ $512, SI
	ADDQ $512, DX
	DECQ CX
	JNZ  next
	VZEROUPPER
	RET

// func mulPair(z, x, y *pair)
TEXT ·mulPair(SB), 0, $1032-24
	NO_LOCAL_POINTERS
	MOVQ z+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), DX
	LEAQ 8(SP), BX

	// 2p - x1
	LEAQ         base<>(SB), AX
	VPBROADCASTQ ONES(AX), Z26
	VPXORQ Z8, Z8, Z8
	VPXORQ Z9, Z9, Z9
	VPXORQ Z10, Z10, Z10
	VPXORQ Z11, Z11, Z11
	VPXORQ Z12, Z12, Z12
	VPXORQ Z13, Z13, Z13
	VPXORQ Z14, Z14, Z14
	VPXORQ Z15, Z15, Z15
	PLUS(TWICE)
	MINUS(SI, 512)
	CARRY
	SAVE(BX, 0)

	// x0*y0 - x1*y1; z may be a factor of what follows
	CLEAR
	FACTOR(SI, 0)
	MOVQ DX, R8
	CALL times<>(SB)
	FACTOR(BX, 0)
	LEAQ 512(DX), R8
	CALL times<>(SB)
	CALL reduce<>(SB)
	SAVE(BX, 512)

	// x0*y1 + x1*y0
	CLEAR
	FACTOR(SI, 0)
	LEAQ 512(DX), R8
	CALL times<>(SB)
	FACTOR(SI, 512)
	MOVQ DX, R8
	CALL times<>(SB)
	CALL reduce<>(SB)
	SAVE(DI, 512)
	LOAD(BX, 512)
	SAVE(DI, 0)
	VZEROUPPER
	RET

// func squarePair(z, x *pair)
TEXT ·squarePair(SB), 0, $1032-16
	NO_LOCAL_POINTERS
	MOVQ z+0(FP), DI
	MOVQ x+8(FP), SI
	LEAQ 8(SP), BX

	// (x0 + x1)(x0 - x1); z may be x
	LEAQ         base<>(SB), AX
	VPBROADCASTQ ONES(AX), Z26
	LOAD(SI, 0)
	AND(SI, 512)
	CARRY
	SAVE(BX, 0)
	LOAD(SI, 0)
	MINUS(SI, 512)
	PLUS(TWICE)
	CARRY
	TURN
	MOVQ BX, R8
	CALL product<>(SB)
	SAVE(BX, 512)

	// 2*x0*x1
	LOAD(SI, 0)
	AND(SI, 0)
	CARRY
	TURN
	LEAQ 512(SI), R8
	CALL product<>(SB)
	SAVE(DI, 512)
	LOAD(BX, 512)
	SAVE(DI, 0)
	VZEROUPPER
	RET

// TERM adds the product of the octets at at1(p) and at2(q) to the columns.
#define TERM(p, at1, q, at2) \
	FACTOR(p, at1); \
	LEAQ at2(q), R8; \
	CALL times<>(SB)

// func dot(z, x0, x1, x2 *pair, y0, y1, y2 *factor)
TEXT ·dot(SB), NOSPLIT, $8-56
	MOVQ z+0(FP), DI
	MOVQ x0+8(FP), SI
	MOVQ x1+16(FP), DX
	MOVQ x2+24(FP), BX
	MOVQ y0+32(FP), R10
	MOVQ y1+40(FP), R11
	MOVQ y2+48(FP), R12

	CLEAR
	TERM(SI, 0, R10, 0)
	TERM(SI, 512, R10, 1024)
	TERM(DX, 0, R11, 0)
	TERM(DX, 512, R11, 1024)
	TERM(BX, 0, R12, 0)
	TERM(BX, 512, R12, 1024)
	CALL reduce<>(SB)
	SAVE(DI, 0)

	CLEAR
	TERM(SI, 0, R10, 512)
	TERM(SI, 512, R10, 0)
	TERM(DX, 0, R11, 512)
	TERM(DX, 512, R11, 0)
	TERM(BX, 0, R12, 512)
	TERM(BX, 512, R12, 0)
	CALL reduce<>(SB)
	SAVE(DI, 512)
	VZEROUPPER
	RET
