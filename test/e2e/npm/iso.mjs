// A wallet's journey with iso-filecoin. One command a run, its argument is
// JSON on standard input, its result is JSON on standard output:
//   keys                     a fresh secp256k1 and a BLS account
//   send   {key, type, to}   estimates, signs, pushes and waits; then reads back
// Arguments: command, HTTP URL. The token comes by the environment.
import { readFileSync } from 'node:fs'
import { RPC } from 'iso-filecoin/rpc'
import { Message } from 'iso-filecoin/message'
import { Token } from 'iso-filecoin/token'
import * as Wallet from 'iso-filecoin/wallet'

const [name, url] = process.argv.slice(2)
const rpc = new RPC({ api: url, network: 'testnet', token: process.env.VENUS_TOKEN })
const must = answer => {
  if (answer.error) throw answer.error
  return answer.result
}
const base64 = bytes => Buffer.from(bytes).toString('base64')

const commands = {
  keys () {
    const out = {}
    for (const type of ['SECP256K1', 'BLS']) {
      const account = Wallet.create(type, 'testnet')
      out[type] = { address: account.address.toString(), key: base64(account.privateKey), type }
    }
    return out
  },
  async send ({ key, type, to }) {
    const privateKey = Buffer.from(key, 'base64')
    const account = Wallet.accountFromPrivateKey(privateKey, type, 'testnet')
    const from = account.address.toString()
    const before = must(await rpc.balance(from))
    const message = await new Message({ to, from, value: Token.fromFIL('0.25').toAttoFIL().toString() }).prepare(rpc)
    const signature = await Wallet.signMessage(privateKey, type, message)
    const cid = must(await rpc.pushMessage({ msg: message, signature }))
    const look = must(await rpc.waitMsg({ cid, confidence: 2, lookback: 100 }))
    const id = must(await rpc.stateLookupID({ address: from }))
    return {
      version: must(await rpc.version()),
      network: must(await rpc.networkName()),
      gas: { limit: message.gasLimit, feeCap: message.gasFeeCap, premium: message.gasPremium },
      before, cid, look, id,
      key: must(await rpc.stateAccountKey({ address: id })),
      after: must(await rpc.balance(from)),
      nonce: must(await rpc.nonce(from)),
      height: must(await rpc.chainHead()).Height
    }
  }
}
const input = name === 'keys' ? undefined : JSON.parse(readFileSync(0, 'utf8'))
console.log(JSON.stringify(await commands[name](input)))
