// Computes piece commitments with data-segment. Standard input is a row of
// payloads, each after its length in four little-endian bytes; prints a list of
// {cid, size, padding}: the CID of CommP, the padded size of the piece and how
// many zero bytes were put behind the payload.
import { readSync } from 'node:fs'
import * as Piece from '@web3-storage/data-segment/piece'
import { create } from '@web3-storage/data-segment/multihash'

// Small parts: the hasher is four times slower when it is given megabytes at
// once, the garbage collector's doing.
const buffer = Buffer.alloc(16 * 127)

// read takes n bytes, fewer at the end of the input.
function read (n) {
  let have = 0
  for (let got = 1; have < n && got > 0; have += got) got = readSync(0, buffer, have, n - have)
  return buffer.subarray(0, have)
}

const pieces = []
for (let head = read(4); head.length === 4; head = read(4)) {
  const hasher = create()
  for (let left = head.readUInt32LE(); left > 0;) {
    const part = read(Math.min(left, buffer.length))
    if (part.length === 0) throw new Error(`the input ends ${left} bytes before its payload does`)
    hasher.write(part)
    left -= part.length
  }
  const piece = Piece.fromDigest(hasher.digest())
  pieces.push({ cid: String(piece.toInfo().link), size: Number(piece.size), padding: Number(piece.padding) })
}
console.log(JSON.stringify(pieces))
