//go:build !purego

#include "textflag.h"

// SHA-256 of one label's preimage by the SHA extensions. A preimage is one block of header, then pairs of parent labels
// that repeat, then one label with the padding. The message schedule of a pair is computed once and kept, with the round
// constants added, for its repetitions; these then cost their rounds alone, which are one chain of dependent instructions.
//
// X1 and X2 hold the state as the instructions want it (words ABEF and CDGH, highest first), X9 and X10 its value before
// the block; X3-X6 are sixteen words of the message schedule, X0 and X7 scratch, X8 turns bytes around.

// The first 32 bits of the fractions of the cube roots of the first 64 primes (FIPS 180-4, 4.2.2).
DATA roundConstants<>+0(SB)/8, $0x71374491428a2f98
DATA roundConstants<>+8(SB)/8, $0xe9b5dba5b5c0fbcf
DATA roundConstants<>+16(SB)/8, $0x59f111f13956c25b
DATA roundConstants<>+24(SB)/8, $0xab1c5ed5923f82a4
DATA roundConstants<>+32(SB)/8, $0x12835b01d807aa98
DATA roundConstants<>+40(SB)/8, $0x550c7dc3243185be
DATA roundConstants<>+48(SB)/8, $0x80deb1fe72be5d74
DATA roundConstants<>+56(SB)/8, $0xc19bf1749bdc06a7
DATA roundConstants<>+64(SB)/8, $0xefbe4786e49b69c1
DATA roundConstants<>+72(SB)/8, $0x240ca1cc0fc19dc6
DATA roundConstants<>+80(SB)/8, $0x4a7484aa2de92c6f
DATA roundConstants<>+88(SB)/8, $0x76f988da5cb0a9dc
DATA roundConstants<>+96(SB)/8, $0xa831c66d983e5152
DATA roundConstants<>+104(SB)/8, $0xbf597fc7b00327c8
DATA roundConstants<>+112(SB)/8, $0xd5a79147c6e00bf3
DATA roundConstants<>+120(SB)/8, $0x1429296706ca6351
DATA roundConstants<>+128(SB)/8, $0x2e1b213827b70a85
DATA roundConstants<>+136(SB)/8, $0x53380d134d2c6dfc
DATA roundConstants<>+144(SB)/8, $0x766a0abb650a7354
DATA roundConstants<>+152(SB)/8, $0x92722c8581c2c92e
DATA roundConstants<>+160(SB)/8, $0xa81a664ba2bfe8a1
DATA roundConstants<>+168(SB)/8, $0xc76c51a3c24b8b70
DATA roundConstants<>+176(SB)/8, $0xd6990624d192e819
DATA roundConstants<>+184(SB)/8, $0x106aa070f40e3585
DATA roundConstants<>+192(SB)/8, $0x1e376c0819a4c116
DATA roundConstants<>+200(SB)/8, $0x34b0bcb52748774c
DATA roundConstants<>+208(SB)/8, $0x4ed8aa4a391c0cb3
DATA roundConstants<>+216(SB)/8, $0x682e6ff35b9cca4f
DATA roundConstants<>+224(SB)/8, $0x78a5636f748f82ee
DATA roundConstants<>+232(SB)/8, $0x8cc7020884c87814
DATA roundConstants<>+240(SB)/8, $0xa4506ceb90befffa
DATA roundConstants<>+248(SB)/8, $0xc67178f2bef9a3f7
GLOBL roundConstants<>(SB), NOPTR|RODATA, $256

// The initial value as two registers: words F, E, B, A and H, G, D, C, lowest first (FIPS 180-4, 5.3.3).
DATA initialState<>+0(SB)/8, $0x510e527f9b05688c
DATA initialState<>+8(SB)/8, $0x6a09e667bb67ae85
DATA initialState<>+16(SB)/8, $0x1f83d9ab5be0cd19
DATA initialState<>+24(SB)/8, $0x3c6ef372a54ff53a
GLOBL initialState<>(SB), NOPTR|RODATA, $32

// What follows the last label: a one bit, zeros, and 9984, the length of the preimage in bits.
DATA padding<>+0(SB)/8, $0x0000000080000000
DATA padding<>+8(SB)/8, $0x0000000000000000
DATA padding<>+16(SB)/8, $0x0000000000000000
DATA padding<>+24(SB)/8, $0x0000270000000000
GLOBL padding<>(SB), NOPTR|RODATA, $32

// Byte orders: within words, over the whole register; and the mask that makes a digest a field element.
DATA swapWords<>+0(SB)/8, $0x0405060700010203
DATA swapWords<>+8(SB)/8, $0x0c0d0e0f08090a0b
GLOBL swapWords<>(SB), NOPTR|RODATA, $16
DATA reverse<>+0(SB)/8, $0x08090a0b0c0d0e0f
DATA reverse<>+8(SB)/8, $0x0001020304050607
GLOBL reverse<>(SB), NOPTR|RODATA, $16
DATA truncate<>+0(SB)/8, $0xffffffffffffffff
DATA truncate<>+8(SB)/8, $0x3fffffffffffffff
GLOBL truncate<>(SB), NOPTR|RODATA, $16

// QUAD is four rounds on the words in X0.
#define QUAD \
	SHA256RNDS2 X0, X1, X2; \
	PSHUFD $0x0e, X0, X0; \
	SHA256RNDS2 X0, X2, X1

// ROUNDS is four rounds on message words w; KEEP also stores the words with their constants.
#define ROUNDS(w, at) \
	MOVO  w, X0; \
	PADDL at(AX), X0; \
	QUAD

#define KEEP(w, at) \
	MOVO  w, X0; \
	PADDL at(AX), X0; \
	MOVOU X0, at(BX); \
	QUAD

// AGAIN is four rounds on words that KEEP stored.
#define AGAIN(at) \
	MOVOU at(BX), X0; \
	QUAD

// NEXT turns a, the oldest four of the last sixteen words a, b, c, d, into the next four.
#define NEXT(a, b, c, d) \
	SHA256MSG1 b, a; \
	MOVO       d, X7; \
	PALIGNR    $4, c, X7; \
	PADDL      X7, a; \
	SHA256MSG2 d, a

#define BEGIN \
	MOVO X1, X9; \
	MOVO X2, X10

#define END \
	PADDL X9, X1; \
	PADDL X10, X2

// BLOCK compresses the block in X3-X6, sixteen big-endian words already turned.
#define BLOCK(RUN) \
	BEGIN; \
	RUN(X3, 0); RUN(X4, 16); RUN(X5, 32); RUN(X6, 48); \
	NEXT(X3, X4, X5, X6); RUN(X3, 64); \
	NEXT(X4, X5, X6, X3); RUN(X4, 80); \
	NEXT(X5, X6, X3, X4); RUN(X5, 96); \
	NEXT(X6, X3, X4, X5); RUN(X6, 112); \
	NEXT(X3, X4, X5, X6); RUN(X3, 128); \
	NEXT(X4, X5, X6, X3); RUN(X4, 144); \
	NEXT(X5, X6, X3, X4); RUN(X5, 160); \
	NEXT(X6, X3, X4, X5); RUN(X6, 176); \
	NEXT(X3, X4, X5, X6); RUN(X3, 192); \
	NEXT(X4, X5, X6, X3); RUN(X4, 208); \
	NEXT(X5, X6, X3, X4); RUN(X5, 224); \
	NEXT(X6, X3, X4, X5); RUN(X6, 240); \
	END

// LABEL loads the label whose number DX points to into two registers, and moves on; R8 is the layer.
#define LABEL(lo, hi) \
	MOVL   (DX), R9; \
	ADDQ   $4, DX; \
	SHLQ   $5, R9; \
	MOVOU  (R8)(R9*1), lo; \
	MOVOU  16(R8)(R9*1), hi; \
	PSHUFB X8, lo; \
	PSHUFB X8, hi

// func hashLabel(out, header *byte, parents *uint32, cur, prev *byte, kept *[1792]byte)
TEXT ·hashLabel(SB), NOSPLIT, $0-48
	MOVQ header+8(FP), SI
	MOVQ parents+16(FP), DX
	MOVQ cur+24(FP), R8
	MOVQ prev+32(FP), R10
	LEAQ roundConstants<>(SB), AX
	MOVQ kept+40(FP), BX

	MOVOU  swapWords<>(SB), X8
	MOVOU  initialState<>(SB), X1
	MOVOU  initialState<>+16(SB), X2

	MOVOU  (SI), X3
	MOVOU  16(SI), X4
	MOVOU  32(SI), X5
	MOVOU  48(SI), X6
	PSHUFB X8, X3
	PSHUFB X8, X4
	PSHUFB X8, X5
	PSHUFB X8, X6
	BLOCK(ROUNDS)

	// R11 is how many pairs there are, 3 or 7, R12 how many remain to be seen the first time.
	MOVQ    $3, R11
	MOVQ    $7, CX
	TESTQ   R10, R10
	CMOVQNE CX, R11
	MOVQ    R11, R12

first:
	LABEL(X3, X4)
	LABEL(X5, X6)
	BLOCK(KEEP)
	ADDQ $256, BX
	DECQ R12
	JZ   repeat

	// The first three pairs are of this layer, the others of the one before.
	CMPQ    R12, $4
	CMOVQEQ R10, R8
	JMP     first

repeat:
	// Of 18 pairs in all, R13 remain; they take the kept ones in turn.
	MOVQ $18, R13
	SUBQ R11, R13

turn:
	MOVQ kept+40(FP), BX
	MOVQ R11, R12

again:
	BEGIN
	AGAIN(0)
	AGAIN(16)
	AGAIN(32)
	AGAIN(48)
	AGAIN(64)
	AGAIN(80)
	AGAIN(96)
	AGAIN(112)
	AGAIN(128)
	AGAIN(144)
	AGAIN(160)
	AGAIN(176)
	AGAIN(192)
	AGAIN(208)
	AGAIN(224)
	AGAIN(240)
	END
	ADDQ $256, BX
	DECQ R13
	JZ   last
	DECQ R12
	JNZ  again
	JMP  turn

last:
	// The 37th label is the first parent (of 6) or the ninth (of 14).
	MOVQ parents+16(FP), DX
	CMPQ R11, $7
	JNE  tail
	ADDQ $32, DX

tail:
	LABEL(X3, X4)
	MOVOU padding<>(SB), X5
	MOVOU padding<>+16(SB), X6
	BLOCK(ROUNDS)

	MOVO       X2, X3
	PUNPCKHQDQ X1, X3
	PUNPCKLQDQ X1, X2
	MOVOU      reverse<>(SB), X8
	PSHUFB     X8, X3
	PSHUFB     X8, X2
	MOVOU      truncate<>(SB), X4
	PAND       X4, X2
	MOVQ       out+0(FP), DI
	MOVOU      X3, (DI)
	MOVOU      X2, 16(DI)
	RET
