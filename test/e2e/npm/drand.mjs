// Reads the beacon with drand's own client, which verifies every entry.
// Argument: the beacon's URL.
import { HttpCachingChain, HttpChainClient, fetchBeacon } from 'drand-client'

const options = { disableBeaconVerification: false, noCache: true }
const chain = new HttpCachingChain(process.argv[2], options)
const info = await chain.info()
const client = new HttpChainClient(chain, options)
const third = await fetchBeacon(client, 3)
const latest = await fetchBeacon(client)
console.log(JSON.stringify({ info, third, latest }))
