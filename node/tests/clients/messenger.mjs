// The schedule of the reference messenger's golden capture, played to a network: what three processes send is what the
// capture's compute unit was made to answer, what the network makes of it is read from their logs.
import { readFileSync } from 'node:fs';
import { connect, createDataItemSigner } from '@permaweb/aoconnect';
import * as bundles from '@dha-team/arbundles';

const { env } = process;
const { NODE_A, NODE_B, NETWORK } = env;
const golden = JSON.parse(env.GOLDEN);
const jwk = JSON.parse(readFileSync(env.ALICE, 'utf8'));
const signer = createDataItemSigner(jwk), raw = new bundles.ArweaveSigner(jwk);
const ao = connect({ MODE: 'legacy', MU_URL: NODE_A, CU_URL: NODE_B, GATEWAY_URL: NODE_A });
const named = tags => Object.entries(tags).map(([name, value]) => ({ name, value }));
const PATIENCE = 90_000;
setTimeout(() => { console.error('the script took too long'); process.exit(1); }, PATIENCE).unref();
async function until(what, look) {
  for (const late = Date.now() + PATIENCE; Date.now() < late; await new Promise(resume => setTimeout(resume, 100))) {
    const found = await look();
    if (found) return found;
  }
  throw new Error(what);
}
async function ask(method, path, body, headers = {}) {
  const answer = await fetch(NODE_A + path, { method, body, headers });
  const text = await answer.text();
  return { method, path, status: answer.status, body: text };
}
const octets = { 'content-type': 'application/octet-stream' };
async function item(options) {
  const made = bundles.createData(options.data ?? ' ', raw, options);
  await made.sign(raw);
  return made;
}
const log = async process => (await (await fetch(`${NODE_B}/${process}?process-id=${process}&limit=1000`)).json()).edges.map(e => e.node);
const tag = (item, name) => item?.tags.find(t => t.name === name)?.value;
const arrival = (process, action) => until(`${action} in the log of ${process}`, async () =>
  (await log(process)).map(node => node.message).find(message => tag(message, 'Action') === action));
const protocol = { 'Data-Protocol': 'ao', Variant: 'ao.TN.1' };

const module = await item({ data: readFileSync(env.MODULE), tags: named({ ...protocol, Type: 'Module',
  'Module-Format': 'wasm64-unknown-emscripten-draft_2024_02_15', 'Input-Encoding': 'JSON-1', 'Output-Encoding': 'JSON-1',
  'Memory-Limit': '1-gb', 'Compute-Limit': '9000000000000' }) });
await ask('POST', '/tx', module.getRaw(), octets);
const spawn = () => ao.spawn({ module: module.id, scheduler: NETWORK, signer });
const [P, Q] = [await spawn(), await spawn()];
// What is assigned has to be somewhere: another wallet's message to P's neighbour.
const ATX = await ao.message({ process: P, signer, tags: named({ Action: 'Nothing' }) });
// The boot code of the child sends what the capture's child sent.
const boot = `ao.outbox.Messages = require('json').decode([==[${JSON.stringify(golden.results.Process.Messages)}]==])`
  .replaceAll(golden.ids.Q, Q);
const real = { ...golden.ids, P, Q, ATX, MOD: module.id };
const play = result => {
  let text = JSON.stringify(result).replaceAll('child data', JSON.stringify(boot).slice(1, -1));
  for (const [name, id] of Object.entries(real)) text = text.replaceAll(golden.ids[name], id);
  return text;
};
const handler = (action, result) => `
  Handlers.add("${action}", "${action}", function ()
    local r = require('json').decode([===[${play(result)}]===])
    ao.outbox.Messages, ao.outbox.Spawns, ao.outbox.Assignments = r.Messages, r.Spawns, r.Assignments
  end)`;
for (const [process, action] of [[P, 'Start'], [Q, 'Hop']]) {
  const message = await ao.message({ process, signer, tags: named({ Action: 'Eval' }),
    data: 'ao.addAssignable("any", function () return true end)' + handler(action, golden.results[action]) });
  const done = await until('the handler', async () => { const r = await ao.result({ process, message }); return 'error' in r ? null : r; });
  if (done.Error) throw new Error(JSON.stringify(done));
}

// The client's side of the capture, in its order.
const good = async tags => (await item({ target: P, tags: named(tags) })).getRaw();
const start = await item({ target: P, data: 'go', tags: named({ Action: 'Start', SDK: 'aoconnect', ...protocol, Type: 'Message' }) });
const kid = await item({ tags: named({ Name: 'k', SDK: 'aoconnect', ...protocol, Type: 'Process', Module: module.id, Scheduler: NETWORK, Timestamp: '1' }) });
const broken = Buffer.from(start.getRaw());
broken[broken.length - 1] ^= 1;
const word = (await item({ target: P })).getRaw();
const replies = [
  ['message', await ask('POST', '/', start.getRaw(), octets)],
  ['spawn', await ask('POST', '/', kid.getRaw(), octets)],
  ['assign', await ask('POST', `/?process-id=${P}&assign=${module.id}`, undefined, octets)],
  ['assign missing param', await ask('POST', `/?process-id=${Q}`, undefined, octets)],
  ['garbage', await ask('POST', '/', 'garbage', octets)],
  ['bad signature', await ask('POST', '/', broken, octets)],
  ['no Data-Protocol', await ask('POST', '/', await good({ Type: 'Message' }), octets)],
  ['unknown Type', await ask('POST', '/', await good({ 'Data-Protocol': 'ao', Type: 'Nonsense' }), octets)],
  ['target is not a process', await ask('POST', '/',
    (await item({ target: golden.ids.WAL, tags: named({ ...protocol, Type: 'Message' }) })).getRaw(), octets)],
  ['monitor', await ask('POST', `/monitor/${P}`, word, octets)],
  ['monitor twice', await ask('POST', `/monitor/${P}`, word, octets)],
  ['unmonitor', await ask('DELETE', `/monitor/${P}`, word, octets)],
  ['unmonitor twice', await ask('DELETE', `/monitor/${P}`, word, octets)],
];
const out = { ids: { ...real, firstId: start.id, mu: NETWORK, su: NETWORK }, boot, replies: Object.fromEntries(replies) };
out.items = {};
for (const [process, action] of [[Q, 'Hop'], [P, 'HopBack'], [P, 'Spawned'], [Q, 'NumTag'], [Q, 'ShortAnchor'], [Q, 'BootMsg']])
  out.items[action] = await arrival(process, action);
out.ids.child = tag(out.items.Spawned, 'Process');
out.items.Process = (await log(out.ids.child))[0].message;
out.assigned = (await until('the assignment', async () => {
  const found = (await log(Q)).filter(node => tag(node.assignment, 'Message') === ATX);
  return found.length > 0 && found;
}));
// A message to a wallet is on Arweave and in no log.
out.items.ToWallet = await until('the message to a wallet', async () => {
  const query = `{ transactions(recipients: ["${golden.ids.WAL}"]) { edges { node { id anchor tags { name value } } } } }`;
  const answer = await (await fetch(`${env.GATEWAY}/graphql`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ query }) })).json();
  const node = answer.data.transactions.edges[0]?.node;
  if (!node) return null;
  const data = await (await fetch(`${env.GATEWAY}/raw/${node.id}`)).text();
  return { ...node, anchor: Buffer.from(node.anchor, 'base64url').toString(), target: golden.ids.WAL, data };
});
console.log(JSON.stringify(out));
process.exit(0);
