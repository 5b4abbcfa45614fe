// A libp2p peer that does what the test tells it. Orders come on standard input, one JSON object a line; what happens goes to
// standard output, one JSON object a line.
//
//   {listen, topics, dht}           start; answers {event: "up", addrs, id}
//   {do: "dial", addr}              answers {event: "dialed", peer, protocols, agent}
//   {do: "publish", topic, data}    data in base64
//   {do: "serve", protocol, data}   answers each stream of a protocol with these bytes
//   {do: "send", peer, protocol, data}  opens a stream, writes, reads until it ends
//   {do: "find", peer}              looks a peer up in the DHT
//
// Every gossiped message heard is {event: "heard", topic, data, from}, every peer that joins a topic {event: "subscribed",
// peer, topic}, every connection that ends {event: "lost", peer}.
import { createInterface } from 'node:readline'
import { createLibp2p } from 'libp2p'
import { tcp } from '@libp2p/tcp'
import { noise } from '@libp2p/noise'
import { yamux } from '@libp2p/yamux'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { gossipsub } from '@libp2p/gossipsub'
import { kadDHT } from '@libp2p/kad-dht'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'

// Node 20 lacks what the library takes for granted.
Promise.withResolvers ??= function () {
  const r = {}
  r.promise = new Promise((resolve, reject) => Object.assign(r, { resolve, reject }))
  return r
}

const say = (o) => process.stdout.write(JSON.stringify(o) + '\n')
const bytes = (b64) => new Uint8Array(Buffer.from(b64, 'base64'))
let node

async function start (o) {
  const services = { identify: identify(), ping: ping() }
  if (o.topics) {
    services.pubsub = gossipsub({ allowPublishToZeroTopicPeers: true, globalSignaturePolicy: 'StrictSign', emitSelf: false })
  }
  if (o.dht) {
    services.dht = kadDHT({ protocol: o.dht, clientMode: true, peerInfoMapper: (x) => x, allowQueryWithZeroPeers: true })
  }
  node = await createLibp2p({
    addresses: { listen: o.listen ? ['/ip4/127.0.0.1/tcp/0'] : [] },
    transports: [tcp()], connectionEncrypters: [noise()], streamMuxers: [yamux()], services
  })
  node.addEventListener('peer:disconnect', (e) => say({ event: 'lost', peer: e.detail.toString() }))
  for (const topic of o.topics ?? []) {
    node.services.pubsub.subscribe(topic)
  }
  node.services.pubsub?.addEventListener('message', (e) => {
    say({ event: 'heard', topic: e.detail.topic, data: Buffer.from(e.detail.data).toString('base64'), from: e.detail.from?.toString() })
  })
  node.services.pubsub?.addEventListener('subscription-change', (e) => {
    for (const s of e.detail.subscriptions) {
      if (s.subscribe) say({ event: 'subscribed', peer: e.detail.peerId.toString(), topic: s.topic })
    }
  })
  say({ event: 'up', id: node.peerId.toString(), addrs: node.getMultiaddrs().map(String) })
}

async function dial (o) {
  const c = await node.dial(multiaddr(o.addr))
  const rtt = await node.services.ping.ping(c.remotePeer)
  let p
  for (let i = 0; i < 50; i++) { // identify follows the connection
    p = await node.peerStore.get(c.remotePeer)
    if (p.protocols.length > 0 && p.metadata.has('AgentVersion')) break
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  const agent = p.metadata.get('AgentVersion')
  say({ event: 'dialed', peer: c.remotePeer.toString(), rtt, protocols: p.protocols, agent: agent && new TextDecoder().decode(agent) })
}

async function collect (stream) {
  const parts = []
  for await (const chunk of stream) parts.push(Buffer.from(chunk.subarray()))
  return Buffer.concat(parts)
}

async function send (o) {
  const stream = await node.dialProtocol(peerIdFromString(o.peer), o.protocol)
  try {
    const data = bytes(o.data)
    for (let at = 0; at < data.length; at += 1 << 16) stream.send(data.subarray(at, at + (1 << 16)))
    if (o.close !== false) await stream.close()
    say({ event: 'answer', data: (await collect(stream)).toString('base64') })
  } finally {
    stream.abort(new Error('done'))
  }
}

const orders = {
  dial,
  send,
  publish: async (o) => {
    const r = await node.services.pubsub.publish(o.topic, bytes(o.data))
    say({ event: 'published', recipients: r.recipients.length })
  },
  serve: async (o) => {
    await node.handle(o.protocol, async (stream) => {
      stream.send(bytes(o.data))
      await stream.close()
      say({ event: 'served', protocol: o.protocol })
    })
    say({ event: 'serving', protocol: o.protocol })
  },
  find: async (o) => {
    const p = await node.peerRouting.findPeer(peerIdFromString(o.peer), { signal: AbortSignal.timeout(15000) })
    say({ event: 'found', peer: p.id.toString(), addrs: p.multiaddrs.map(String) })
  }
}

process.on('uncaughtException', (e) => say({ event: 'error', what: 'uncaught', error: String(e) }))
for await (const line of createInterface({ input: process.stdin })) {
  const o = JSON.parse(line)
  try {
    await (node === undefined ? start(o) : orders[o.do](o))
  } catch (e) {
    say({ event: 'error', what: o.do ?? 'start', error: String(e?.message ?? e) })
  }
}
await node?.stop()
process.exit(0)
