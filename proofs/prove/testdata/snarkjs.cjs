// Verifies {vk, proof, public} read from standard input with snarkjs, once as given and once with the first public input
// changed; prints the two verdicts.
const snarkjs = require(process.argv[2]);
const input = JSON.parse(require("fs").readFileSync(0, "utf8"));
(async () => {
  const good = await snarkjs.groth16.verify(input.vk, input.public, input.proof);
  const changed = [(BigInt(input.public[0]) + 1n).toString(), ...input.public.slice(1)];
  const bad = await snarkjs.groth16.verify(input.vk, changed, input.proof);
  console.log(`${good} ${bad}`);
  process.exit(0);
})();
