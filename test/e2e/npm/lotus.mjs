// Drives the node with the Lotus JS client: head, five head notifications, a
// miner. Arguments: WebSocket URL, miner. The token comes by the environment.
import { LotusRPC } from '@filecoin-shipyard/lotus-client-rpc'
import { NodejsProvider } from '@filecoin-shipyard/lotus-client-provider-nodejs'
import { mainnet } from '@filecoin-shipyard/lotus-client-schema'

const [url, miner] = process.argv.slice(2)
const wanted = 5
const provider = new NodejsProvider(url, { token: process.env.VENUS_TOKEN })
const client = new LotusRPC(provider, { schema: mainnet.fullNode })

const head = await client.chainHead()
const version = await client.version()
const notes = []
let full
const enough = new Promise(resolve => { full = resolve })
const [cancel, subscribed] = client.chainNotify(changes => {
  for (const change of changes) notes.push({ type: change.Type, height: change.Val.Height, cids: change.Val.Cids.length })
  if (notes.filter(n => n.type === 'apply').length >= wanted) full()
})
await subscribed
await enough
await cancel()
const info = await client.stateMinerInfo(miner, [])
console.log(JSON.stringify({ version, head, notes, info }))
await client.destroy()
process.exit(0)
