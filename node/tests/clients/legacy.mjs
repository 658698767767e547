// Every function of the real AO client in legacy mode, data items of every signature type, and the units' other routes,
// against two nodes of a testnet. What came back goes to standard output as one JSON document; the test (legacy.rs) judges it.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import * as client from '@permaweb/aoconnect';
import * as bundles from '@dha-team/arbundles';
import * as locator from '@permaweb/ao-scheduler-utils';
import bs58 from 'bs58';

const { env } = process;
const { NODE_A, NODE_B, NETWORK } = env;
const wallet = name => JSON.parse(readFileSync(env[name], 'utf8'));
const [alice, bob] = ['ALICE', 'BOB'].map(name => client.createDataItemSigner(wallet(name)));
const out = { called: [], times: {} };
let since = Date.now();
const lap = name => { out.times[name] = Date.now() - since; since = Date.now(); };
const PATIENCE = 90_000;
setTimeout(() => { console.error('the script as a whole took too long', out.times); process.exit(1); }, 2 * PATIENCE).unref();

// Every function of the client, watched.
const watched = (functions, prefix) => Object.fromEntries(Object.entries(functions).map(([name, value]) => [name,
  typeof value !== 'function' ? value : (...given) => { out.called.push(prefix + name); return value(...given); }]));
const top = watched(client, '');
const ao = watched(top.connect({ MODE: 'legacy', MU_URL: NODE_A, CU_URL: NODE_B, GATEWAY_URL: NODE_A }), 'connect().');
out.functions = [...Object.entries(top).map(([name, f]) => [name, f]), ...Object.entries(ao).map(([name, f]) => ['connect().' + name, f])]
  .filter(([, value]) => typeof value === 'function').map(([name]) => name);
const named = tags => Object.entries(tags).map(([name, value]) => ({ name, value }));
const pause = () => new Promise(resume => setTimeout(resume, 100));
async function until(what, look) {
  for (const late = Date.now() + PATIENCE; Date.now() < late; await pause()) {
    const found = await look();
    if (found) return found;
  }
  throw new Error(`not within ${PATIENCE} ms: ${what}`);
}
async function ask(url, options) {
  const answer = await fetch(url, options);
  const text = await answer.text();
  let body;
  try { body = JSON.parse(text); } catch { body = text; }
  return { status: answer.status, body, headers: Object.fromEntries(answer.headers) };
}
const octets = { 'content-type': 'application/octet-stream' };
const post = (url, body) => ask(url, { method: 'POST', headers: octets, body });
const graphql = (url, query, variables) =>
  ask(`${url}/graphql`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ query, variables }) });
const result = (process, message, call = ao.result) => until(`result ${message}`, async () => {
  const got = await call({ process, message });
  return 'error' in got ? null : got;
});
const log = async (node, process) => (await ask(`${node}/${process}?process-id=${process}&limit=1000`)).body.edges.map(e => e.node);
const tag = (item, name) => item?.tags.find(t => t.name === name)?.value;
async function item(signer, options) {
  const made = bundles.createData(options.data ?? ' ', signer, options);
  await made.sign(signer);
  return made;
}

// A module, by a node's uploader; it is found through GraphQL of the same node at once.
const arweave = new bundles.ArweaveSigner(wallet('ALICE'));
const module = await item(arweave, { data: readFileSync(env.MODULE), tags: named({
  'Data-Protocol': 'ao', Variant: 'ao.TN.1', Type: 'Module', 'Module-Format': 'wasm64-unknown-emscripten-draft_2024_02_15',
  'Input-Encoding': 'JSON-1', 'Output-Encoding': 'JSON-1', 'Memory-Limit': '1-gb', 'Compute-Limit': '9000000000000',
  'Content-Type': 'application/wasm' }) });
out.published = (await post(`${NODE_A}/tx`, module.getRaw())).status;
lap('publish');

// Everything of connect().
const process_ = await ao.spawn({ module: module.id, scheduler: NETWORK, signer: alice, tags: named({ Name: 'whole' }) });
out.process = process_;
const first = await ao.message({ process: process_, signer: alice, tags: named({ Action: 'Eval' }), data: `
  Handlers.add("who", "Who", function (m) m.reply({ Data = m.Owner .. " " .. m.From }) end)
  return 1 + 1`, returnAssignmentSlot: true });
out.slot = first;
const sent = await ao.message({ process: process_, signer: bob, tags: named({ Action: 'Who' }), anchor: 'a'.repeat(32) });
out.sum = await result(process_, (await log(NODE_B, process_))[1].message.id);
out.who = await result(process_, sent);
out.results = await ao.results({ process: process_, limit: 2, sort: 'DESC' });
out.dryrun = await ao.dryrun({ process: process_, tags: named({ Action: 'Who' }), Owner: 'O'.repeat(43) });
out.assignment = await ao.assign({ process: process_, message: sent, exclude: ['Data'] });
out.assigned = await result(process_, out.assignment);
out.monitor = [await ao.monitor({ process: process_, signer: alice }), await ao.monitor({ process: process_, signer: alice })];
out.unmonitor = [await ao.unmonitor({ process: process_, signer: alice }), await ao.unmonitor({ process: process_, signer: alice })];
const signed = await ao.signMessage({ process: process_, signer: alice, tags: named({ Action: 'Who' }), data: 'later' });
out.signed = [signed.id, await ao.sendSignedMessage(signed)];
// The four that ask a scheduler, located through the router's host and then, that being silent, through GraphQL.
out.messages = await ao.getMessages({ processId: process_, from: '0', to: '9999999999999', limit: '100' });
out.lastSlot = await ao.getLastSlot({ processId: process_ });
out.byId = await ao.getMessageById({ processId: process_, messageId: sent });
ao.createDataItemSigner(wallet('ALICE'));
lap('connect()');

// The functions exported as they are, which read the same from the environment (MU_URL, CU_URL, GATEWAY_URL).
const other = await top.spawn({ module: module.id, scheduler: '_GQ33BkPtZrqxA84vM8Zk-N2aO0toNNu_C-l-rawrBA',
  signer: top.createDataItemSigner(wallet('BOB')),
  tags: named({ Authority: 'fcoN_xJeisVsPXA-trzVAuIiqO3ydLQxM-L4XbrQKzY' }) });
out.other = other;
const evaluated = await top.message({ process: other, signer: top.createSigner(wallet('BOB')), tags: named({ Action: 'Eval' }),
  data: `Handlers.add("who", "Who", function (m) Heard = (Heard or 0) + 1 end)
    Handlers.add("born", "Spawned", function (m) Child = m.Tags.Process end)
    Send({ Target = "${process_}", Action = "Who" }) return 6 * 7` });
out.evaluated = await result(other, evaluated, top.result);
out.pages = await top.results({ process: other, limit: 1 });
out.tried = await top.dryrun({ process: other, tags: named({ Action: 'Who' }) });
out.monitored = [await top.monitor({ process: other, signer: bob }), await top.unmonitor({ process: other, signer: bob })];
out.cron = top.serializeCron({ interval: '10-minutes', tags: named({ Action: 'Tick' }) });
out.assignedTop = await top.assign({ process: other, message: sent });
await result(other, out.assignedTop, top.result);
lap('exports');

// Locating: by the router; without it by GraphQL of a node, for every way to name a scheduler.
const nobody = createServer((_, answer) => { answer.statusCode = 404; answer.end('{}'); });
await new Promise(ready => nobody.listen(0, '127.0.0.1', ready));
env.ROUTES = `su-router.ao-testnet.xyz=http://127.0.0.1:${nobody.address().port}`;
const located = locator.connect({ GRAPHQL_URL: `${NODE_B}/graphql`, followRedirects: true });
out.located = [await located.locate(process_), await located.locate(other)];
out.raw = await located.raw(NETWORK);
out.valid = [await located.validate(NETWORK), await located.validate('A'.repeat(43)).catch(fault => fault.name)];
nobody.close();
lap('locating');

// Pushing again changes nothing, whoever does it and whatever they bring along.
const heard = await until('the answer to the message that was sent', async () =>
  (await log(NODE_A, other)).find(node => tag(node.message, 'From-Process') === process_));
await result(other, heard.message.id);
const before = [await log(NODE_A, process_), await log(NODE_A, other)].map(nodes => nodes.length);
const push = (route, body) => ask(`${NODE_B}/${route}/${evaluated}/0?process-id=${other}&custom-cu=http://cu.invalid`, { method: 'POST', body });
out.pushed = [await push('push'), await push('push-result', JSON.stringify(out.evaluated)),
  await push('push-result', JSON.stringify({ Messages: [{ Target: process_, Tags: [], Data: 'something else' }] }))];
out.delivered = (await log(NODE_B, process_)).filter(node => tag(node.message, 'From-Process') === other).map(node => node.message.id);
out.notThere = await ask(`${NODE_B}/push/${evaluated}/7?process-id=${other}`, { method: 'POST' });
out.lengths = [before, [await log(NODE_A, process_), await log(NODE_A, other)].map(nodes => nodes.length)];
out.traces = [await ask(`${NODE_A}/?debug&process=${other}&page-size=100`), await ask(`${NODE_B}/?debug&message=${evaluated}`),
  await ask(`${NODE_B}/?debug&wallet=${heard.message.owner.address}`)];
lap('pushing again');

// A spawn with a target is assigned to it as well; asked again, it has been.
const child = await item(arweave, { target: other, tags: named({ 'Data-Protocol': 'ao', Variant: 'ao.TN.1', Type: 'Process',
  Module: module.id, Scheduler: NETWORK, Name: 'child' }) });
out.child = { id: child.id, posts: [await post(NODE_B, child.getRaw()), await post(NODE_A, child.getRaw())],
  assigned: (await log(NODE_A, other)).filter(node => tag(node.assignment, 'Message') === child.id).length };
lap('spawn with a target');

// Data items of the four signature types: as senders, and as owners of processes.
const pair = generateKeyPairSync('ed25519');
const bytes = (key, member) => Buffer.from(key.export({ format: 'jwk' })[member], 'base64url');
const secret = bs58.encode(Buffer.concat([bytes(pair.privateKey, 'd'), bytes(pair.publicKey, 'x')]));
const signers = { arweave, ed25519: new bundles.SolanaSigner(secret), solana: new bundles.HexSolanaSigner(secret),
  ethereum: new bundles.EthereumSigner(randomBytes(32).toString('hex')) };
out.signers = {};
for (const [name, signer] of Object.entries(signers)) {
  const said = await item(signer, { target: process_, tags: named({ 'Data-Protocol': 'ao', Variant: 'ao.TN.1', Type: 'Message', Action: 'Who' }) });
  const posted = await post(NODE_A, said.getRaw());
  const node = (await ask(`${NODE_B}/${said.id}?process-id=${process_}`)).body;
  const answer = await result(process_, said.id);
  const home = await item(signer, { tags: named({ 'Data-Protocol': 'ao', Variant: 'ao.TN.1', Type: 'Process', Module: module.id, Scheduler: NETWORK }) });
  const spawned = await post(NODE_B, home.getRaw());
  const word = await item(signer, { target: home.id, data: 'return Owner', tags: named({ 'Data-Protocol': 'ao', Variant: 'ao.TN.1', Type: 'Message', Action: 'Eval' }) });
  await post(NODE_A, word.getRaw());
  out.signers[name] = { type: signer.signatureType, key: Buffer.from(signer.publicKey).toString('base64url'), posted: posted.status,
    owner: node.message.owner, answer, spawned: spawned.status, evaluated: await result(home.id, word.id) };
}
lap('signature types');

// The gateway's routes of a node: what was ordered a moment ago is there.
const fresh = await ao.message({ process: process_, signer: alice, tags: named({ Action: 'Nothing', Colour: 'green' }), data: 'fresh' });
const BY_ID = 'query($ids: [ID!]!) { transactions(ids: $ids) { edges { node { id recipient owner { address } tags { name value } block { id height timestamp } } } } }';
out.fresh = { id: fresh, graphql: (await graphql(NODE_B, BY_ID, { ids: [fresh] })).body,
  named: (await graphql(NODE_A, `query($owner: String!) { transactions(first: 1, owners: [$owner], tags: [{ name: "Type", values: ["Process"] }, { name: "Name", values: ["whole"] }], sort: HEIGHT_DESC) { edges { node { id } } } }`,
    { owner: (await log(NODE_A, process_))[0].message.owner.address })).body,
  head: (await ask(`${NODE_B}/${fresh}`, { method: 'HEAD' })).headers, raw: await ask(`${NODE_B}/raw/${fresh}`),
  process: (await ask(`${NODE_A}/${process_}`, { method: 'HEAD' })).headers };
lap('gateway');

// What a caller does wrong is told by status.
const damaged = Buffer.from(child.getRaw());
damaged[damaged.length - 1] ^= 1;
const plain = async tags => post(NODE_A, (await item(arweave, { target: process_, tags: named(tags) })).getRaw());
out.wrong = {
  garbage: await post(NODE_A, 'garbage'),
  signature: await post(NODE_A, damaged),
  protocol: await plain({ Type: 'Message' }),
  kind: await plain({ 'Data-Protocol': 'ao', Type: 'Nonsense' }),
  target: await post(NODE_A, (await item(arweave, { target: 'A'.repeat(43), tags: named({ 'Data-Protocol': 'ao', Type: 'Message' }) })).getRaw()),
  one: await post(`${NODE_A}?process-id=${process_}`),
  unsigned: await ask(`${NODE_A}/monitor/${process_}`, { method: 'POST' }),
  stranger: await post(`${NODE_A}/monitor/${other}`, (await item(arweave, { target: other })).getRaw()),
  elsewhere: await post(`${NODE_A}/monitor/${process_}`, (await item(arweave, { target: other })).getRaw()),
};
lap('refusals');
console.log(JSON.stringify(out));
process.exit(0);
