// Sends a message to the greeter and prints its answer, with AO's own client:
//   npm install @permaweb/aoconnect@0.0.98
//   PROCESS=… node client.mjs Ada
// WEFT_NODE, WALLET and WEFT_TESTNET say where node, key and testnet are, if they are not where `testnet up` puts them.
import { readFileSync } from 'node:fs'
import { connect, createDataItemSigner } from '@permaweb/aoconnect'

const node = process.env.WEFT_NODE ?? 'http://127.0.0.1:4002'
const { message, result } = connect({ MODE: 'legacy', MU_URL: node, CU_URL: node, GATEWAY_URL: node })
const wallet = process.env.WALLET ?? `${process.env.WEFT_TESTNET ?? '.weft/testnet'}/wallets/bob.json`
const signer = createDataItemSigner(JSON.parse(readFileSync(wallet)))

const tags = [{ name: 'Action', value: 'Greet' }, { name: 'Name', value: process.argv[2] ?? 'Ada' }]
const id = await message({ process: process.env.PROCESS, signer, tags })
const { Messages, Error: failed } = await result({ process: process.env.PROCESS, message: id })
if (failed) throw new Error(failed)
console.log(Messages[0].Data)
