// Sends a message to the greeter and prints its answer, with AO's own client:
//   npm install @permaweb/aoconnect@0.0.98
//   PROCESS=… WALLET=wallet.json node client.mjs Ada
import { readFileSync } from 'node:fs'
import { connect, createDataItemSigner } from '@permaweb/aoconnect'

const node = process.env.WEFT_NODE ?? 'http://127.0.0.1:4002'
const { message, result } = connect({ MODE: 'legacy', MU_URL: node, CU_URL: node, GATEWAY_URL: node })
const signer = createDataItemSigner(JSON.parse(readFileSync(process.env.WALLET ?? '.weft/testnet/wallets/bob.json')))

const tags = [{ name: 'Action', value: 'Greet' }, { name: 'Name', value: process.argv[2] ?? 'Ada' }]
const id = await message({ process: process.env.PROCESS, signer, tags })
const { Messages, Error: failed } = await result({ process: process.env.PROCESS, message: id })
if (failed) throw new Error(failed)
console.log(Messages[0].Data)
