// Prints the names of the methods that the Lotus client's schema knows of a full
// node, as they go over the wire.
import { mainnet } from '@filecoin-shipyard/lotus-client-schema'

const names = [...new Set([mainnet.common, mainnet.fullNode].flatMap(api => Object.keys(api.methods)))]
console.log(JSON.stringify(names.map(name => name[0].toUpperCase() + name.slice(1)).sort()))
