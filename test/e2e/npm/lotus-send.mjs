// A program's journey with the Lotus JS client: estimate, sign elsewhere, push,
// wait, read state, lose the connection and go on with a new one. Input is
// {from, key, to} as JSON; arguments: WebSocket URL. The token comes by the
// environment.
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import { LotusRPC } from '@filecoin-shipyard/lotus-client-rpc'
import { NodejsProvider } from '@filecoin-shipyard/lotus-client-provider-nodejs'
import { mainnet } from '@filecoin-shipyard/lotus-client-schema'

const tools = createRequire(import.meta.url)('@zondax/filecoin-signing-tools')
const [url] = process.argv.slice(2)
const { from, key, to } = JSON.parse(readFileSync(0, 'utf8'))
const connect = () => new LotusRPC(new NodejsProvider(url, { token: process.env.VENUS_TOKEN }), { schema: mainnet.fullNode })

// heads resolves with the heights of the first notifications of a subscription.
const heads = (client, wanted) => new Promise((resolve, reject) => {
  const seen = []
  const [cancel, subscribed] = client.chainNotify(changes => {
    for (const c of changes) seen.push({ type: c.Type, height: c.Val.Height })
    if (seen.length >= wanted) cancel().then(() => resolve(seen), reject)
  })
  subscribed.catch(reject)
})

const first = connect()
const draft = {
  Version: 0, From: from, To: to, Value: '125000000000000000', Nonce: await first.mpoolGetNonce(from), Method: 0, Params: '',
  GasLimit: 0, GasFeeCap: '0', GasPremium: '0'
}
const estimated = await first.gasEstimateMessageGas(draft, { MaxFee: '0' }, [])
const { To, From, Nonce, Value, GasLimit, GasFeeCap, GasPremium, Method } = estimated
const { Signature } = tools.transactionSignLotus({ To, From, Nonce, Value, GasLimit, GasFeeCap, GasPremium, Method, Params: '' }, key)
const [cid, before] = await Promise.all([
  first.mpoolPush({ Message: estimated, Signature }),
  heads(first, 2)
])
const look = await first.stateWaitMsg(cid, 2)
await first.destroy()

const second = connect()
const again = await second.stateSearchMsg(cid)
const after = await heads(second, 2)
const actor = await second.stateGetActor(from, [])
const state = await second.stateReadState(from, [])
await second.destroy()
console.log(JSON.stringify({ estimated, cid, look, again, before, after, actor, state }))
process.exit(0)
