// A wallet's journey with the Glif libraries: addresses, amounts and messages by
// theirs, signatures by the Zondax tools that their wallet providers use. Input
// is {key, from, to} as JSON; arguments: HTTP URL. The token comes by the
// environment.
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'

const require = createRequire(import.meta.url)
const Rpc = require('@glif/filecoin-rpc-client').default
const { newFromString, validateAddressString } = require('@glif/filecoin-address')
const { Message } = require('@glif/filecoin-message')
const { FilecoinNumber } = require('@glif/filecoin-number')
const tools = require('@zondax/filecoin-signing-tools')

const [url] = process.argv.slice(2)
const { key, from, to } = JSON.parse(readFileSync(0, 'utf8'))
const node = new Rpc({ apiAddress: url, token: process.env.VENUS_TOKEN })

for (const a of [from, to]) if (!validateAddressString(a)) throw new Error(`${a} is no address`)
const before = await node.request('WalletBalance', from)
const draft = new Message({
  to, from, nonce: await node.request('MpoolGetNonce', from), method: 0, params: '',
  value: new FilecoinNumber('0.5', 'fil').toAttoFil()
})
const message = Message.fromLotusType(await node.request('GasEstimateMessageGas', draft.toLotusType(), null, null))
const signed = tools.transactionSignLotus(message.toLotusType(), key)
const cid = await node.request('MpoolPush', signed)
const look = await node.request('StateWaitMsg', cid, 2)
let refusal
try {
  await node.request('MpoolPush', signed)
} catch (e) {
  refusal = e.message
}
console.log(JSON.stringify({
  before, cid, look, refusal,
  gas: { limit: message.gasLimit, feeCap: message.gasFeeCap.toString(), premium: message.gasPremium.toString() },
  after: await node.request('WalletBalance', from),
  actor: await node.request('StateGetActor', from, null),
  same: newFromString(from).toString().slice(1) === from.slice(1)
}))
