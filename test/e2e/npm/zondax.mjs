// Signs and verifies with the Zondax signing tools. One command a run, its
// argument is JSON on standard input, its result is JSON on standard output:
//   keys                      a fresh secp256k1 and a BLS key
//   sign    {message, key}    a signed message
//   verify  {message, signature, type}   whether a signature of a message holds
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'

const tools = createRequire(import.meta.url)('@zondax/filecoin-signing-tools')
const base64 = hex => Buffer.from(hex, 'hex').toString('base64')

const commands = {
  keys () {
    const secp = tools.keyDerive(tools.generateMnemonic(), "m/44'/1'/0'/0/0", '')
    const raw = new Uint8Array(32)
    globalThis.crypto.getRandomValues(raw)
    raw[31] = 1 // little-endian, below the order of the group
    const bls = tools.keyRecoverBLS(Buffer.from(raw).toString('base64'), true)
    return { secp256k1: { address: secp.address, key: secp.private_base64 }, bls: { address: bls.address, key: bls.private_base64 } }
  },
  sign ({ message, key }) {
    const signed = tools.transactionSign(message, key)
    return { signed: typeof signed === 'string' ? JSON.parse(signed) : signed, cbor: base64(tools.transactionSerialize(message)) }
  },
  verify ({ message, signature }) {
    return { valid: tools.verifySignature(Buffer.from(signature, 'base64'), tools.transactionSerialize(message)) }
  }
}

const [name] = process.argv.slice(2)
const input = name === 'keys' ? undefined : JSON.parse(readFileSync(0, 'utf8'))
console.log(JSON.stringify(commands[name](input)))
