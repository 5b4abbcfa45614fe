//go:build !purego

#include "textflag.h"

// func prefetch(layer *byte, nodes *uint32, count int)
TEXT ·prefetch(SB), NOSPLIT, $0-24
	MOVQ layer+0(FP), DI
	MOVQ nodes+8(FP), SI
	MOVQ count+16(FP), CX

next:
	MOVL       (SI), AX
	SHLQ       $5, AX
	PREFETCHT0 (DI)(AX*1)
	ADDQ       $4, SI
	DECQ       CX
	JNZ        next
	RET
