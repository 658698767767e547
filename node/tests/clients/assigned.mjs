// Assigned data, fixed reads and casts through real clients: transactions made with arweave-js, items with arbundles,
// assignments and messages with aoconnect. Prints one JSON document; the test (assigned.rs) judges it.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { connect, createDataItemSigner } from '@permaweb/aoconnect';
import { ArweaveSigner, EthereumSigner, createData } from '@dha-team/arbundles';
const Arweave = createRequire(import.meta.url)('arweave');

const { NODE_A, NODE_B, GATEWAY, UPLOADER, NETWORK } = process.env;
const wallet = name => JSON.parse(readFileSync(process.env[name], 'utf8'));
const [alice, bob] = [wallet('ALICE'), wallet('BOB')];
const [signer, bobs] = [alice, bob].map(createDataItemSigner);
const ao = connect({ MODE: 'legacy', MU_URL: NODE_A, CU_URL: NODE_A, GATEWAY_URL: GATEWAY });
const elsewhere = connect({ MODE: 'legacy', MU_URL: NODE_B, CU_URL: NODE_B, GATEWAY_URL: GATEWAY });
const { hostname, port } = new URL(GATEWAY);
const arweave = Arweave.init({ host: hostname, port, protocol: 'http' });
const out = {};

const PATIENCE = 90_000;
setTimeout(() => { console.error('the script as a whole took too long', out); process.exit(1); }, 2 * PATIENCE).unref();
async function until(what, look) {
  const late = Date.now() + PATIENCE;
  while (Date.now() < late) {
    const found = await look();
    if (found) return found;
    await new Promise(resume => setTimeout(resume, 100));
  }
  throw new Error(`not within ${PATIENCE} ms: ${what}`);
}
const named = tags => Object.entries(tags).map(([name, value]) => ({ name, value }));
const result = (process, message, ao_ = ao) => until(`result ${message} of ${process}`, async () => {
  const got = await ao_.result({ process, message });
  return 'error' in got ? null : got;
});
async function evaluate(process, data, tags = {}) {
  const message = await ao.message({ process, signer, data, tags: named({ Action: 'Eval', ...tags }) });
  return { message, ...(await result(process, message)) };
}
const answer = async response => ({ status: response.status, text: await response.text(), retry: response.headers.get('retry-after') });
const assign = (process, id, query = '') =>
  fetch(`${NODE_B}/?process-id=${process}&assign=${id}${query}`, { method: 'POST' }).then(answer);
const log = process => fetch(`${NODE_A}/${process}?process-id=${process}&limit=1000`).then(r => r.json());
const tag = (item, name) => item?.tags.find(t => t.name === name)?.value;
const arrival = (process, what, is) => until(`${what} in the log of ${process}`, async () =>
  (await log(process)).edges.map(e => e.node).find(node => is(node.message, node)));

// Layer-1 transactions.
async function post(attributes, tags = {}) {
  const transaction = await arweave.createTransaction(attributes, alice);
  for (const [name, value] of Object.entries(tags)) transaction.addTag(name, value);
  await arweave.transactions.sign(transaction, alice);
  if (attributes.data) {
    const uploader = await arweave.transactions.getUploader(transaction);
    while (!uploader.isComplete) await uploader.uploadChunk();
  } else {
    const { status } = await arweave.transactions.post(transaction);
    if (status !== 200) throw new Error(`posting a transaction: ${status}`);
  }
  return transaction.id;
}
const depth = async id => (await arweave.transactions.getStatus(id)).confirmed?.number_of_confirmations ?? 0;
const deep = (id, wanted = 3) => until(`${wanted} confirmations of ${id}`, async () => (await depth(id)) >= wanted);

async function upload(signer, data, tags) {
  const item = createData(data, signer, { tags: named(tags), anchor: 'a'.repeat(32) });
  await item.sign(signer);
  const sent = await fetch(`${UPLOADER}/tx`, { method: 'POST', headers: { 'content-type': 'application/octet-stream' }, body: item.getRaw() });
  if (!sent.ok) throw new Error(`upload: ${sent.status} ${await sent.text()}`);
  return item.id;
}
const module = await upload(new ArweaveSigner(alice), readFileSync(process.env.MODULE), {
  'Data-Protocol': 'ao', Variant: 'ao.TN.1', Type: 'Module', 'Module-Format': 'wasm64-unknown-emscripten-draft_2024_02_15',
  'Input-Encoding': 'JSON-1', 'Output-Encoding': 'JSON-1', 'Memory-Limit': '1-gb', 'Compute-Limit': '9000000000000',
});
const spawn = (Name, tags = {}) => ao.spawn({ module, scheduler: NETWORK, signer, tags: named({ Name, ...tags }) });
const a = out.a = await spawn('a');
const p = out.p = await spawn('p');
const careful = out.careful = await spawn('careful', { 'Settlement-Depth': '4' });
const hear = `
  ao.addAssignable("any", function (msg) return true end)
  Handlers.add("cast", "Ask", function (msg) msg.reply({ Action = "Answer", Data = "for " .. msg.Data }) print("secret " .. msg.Data) end)
  Handlers.add("seen", function (msg) return msg.Action ~= "Eval" end, function (msg)
    print(require("json").encode({ Id = msg.Id, Data = msg.Data and #msg.Data < 100 and msg.Data or msg.Data and #msg.Data or "none", Owner = msg.Owner,
      Target = msg.Target, Anchor = msg.Anchor or "none", Signature = msg.Signature and "there" or "none",
      Name = msg.Tags and msg.Tags.Name or "none", File = File and File(msg.Id) or "" }))
  end)`;
for (const process of [p, careful, a]) await evaluate(process, hear);
const shown = async (process, id, ao_) => {
  const got = await result(process, id, ao_);
  if (!got.Output?.data) throw new Error(`${id} of ${process} printed nothing: ${JSON.stringify(got)}`);
  return JSON.parse(got.Output.data);
};

const small = out.small = await post({ data: 'from layer one' }, { Name: 'small' });
out.pending = await assign(p, small, '&base-layer=');
out.early = await assign(careful, small);
const large = out.large = await post({ data: new Uint8Array(700_000).map((_, i) => (i * 7 + (i >> 10)) % 128) }, { Name: 'large' });
const transfer = out.transfer = await post({ target: 'FPjbN_btYKzcf8QASjs30v5C0FPv7XpwKXENDhaOfss', quantity: '12345' }, { Name: 'transfer' });
// Out of an outbox: ordered when it is deep enough, by itself.
out.sent = await evaluate(a, `ao.assign({ Processes = { "${p}" }, Message = "${transfer}", BaseLayer = "true", Exclude = { "Anchor" } })`);
await deep(small);
out.smallId = await ao.assign({ process: p, message: small, baseLayer: true });
out.smallShown = await shown(p, out.smallId);
out.smallElsewhere = await shown(p, out.smallId, elsewhere);
out.tooEarly = (await depth(small)) < 4 ? await assign(careful, small) : { status: 422, text: '3 confirmations and this process wants 4' };
await deep(small, 4);
out.careful = await elsewhere.assign({ process: careful, message: small });
await result(careful, out.careful);
await deep(large);
out.largeId = await ao.assign({ process: p, message: large, baseLayer: true });
out.largeShown = await shown(p, out.largeId);
out.withoutData = await elsewhere.assign({ process: careful, message: large, baseLayer: true, exclude: ['data'] });
out.withoutDataShown = await shown(careful, out.withoutData);
out.arrived = await arrival(p, 'the transfer', (_, node) => tag(node.assignment, 'Message') === transfer);
out.arrivedShown = await shown(p, transfer);
out.unknown = await assign(p, 'A'.repeat(42) + 'A', '&base-layer=');

// Data items, with other keys and other members left out.
const ethereum = new EthereumSigner('8da4ef21b864d2cc526dbdb2a120bd2874c36c9d0a1fb7f8c63d7f7a8b41de8f');
const item = out.item = await upload(ethereum, 'from ethereum', { Name: 'ether' });
out.itemId = await ao.assign({ process: p, message: item });
out.itemShown = await shown(p, out.itemId);
out.many = await ao.assign({ process: careful, message: item, exclude: ['Signature', 'Anchor', 'Data'] });
out.manyShown = await shown(careful, out.many);
out.notLayerOne = await assign(a, item, '&base-layer=');

// Reads.
const read = path => `local file = io.open("${path}", "r"); if not file then return "no file" end; local text = file:read(file:seek("end")); file:close(); return #text .. " " .. text:sub(1, 30)`;
const twice = async (path, tags) => { const one = await evaluate(p, read(path), tags); return [one, (await elsewhere.result({ process: p, message: one.message })).Output]; };
out.readData = await twice(`/data/${small}`, { 'Weft-Read': `/data/${small}` });
out.readItem = await twice(`/data/${item}`, { 'Weft-Read': `/data/${item}` });
out.readTx = await twice(`/tx/${small}`, { 'Weft-Read': `/tx/${small}` });
out.readBlock = await twice('/block/1', { 'Weft-Read': '/block/1' });
out.readNothing = await twice(`/data/${small}`, {});
const raw = async (data, tags, target = p) => {
  const one = new ArweaveSigner(alice);
  const message = createData(data, one, { target, tags: named({ 'Data-Protocol': 'ao', Type: 'Message', Variant: 'ao.TN.1', ...tags }) });
  await message.sign(one);
  return fetch(NODE_B, { method: 'POST', headers: { 'content-type': 'application/octet-stream' }, body: message.getRaw() }).then(answer);
};
out.unreadable = await raw('x', { 'Weft-Read': `/data/${'A'.repeat(43)}` });
out.noBlock = await raw('x', { 'Weft-Read': '/block/999999999' });
out.noPath = await raw('x', { 'Weft-Read': '/etc/passwd' });
// A process cannot be refused: its message comes, and there is no such file.
await evaluate(p, `File = function (id) local file = io.open("/data/" .. id, "r"); local text = file and file:read(file:seek("end")) or "no file"; if file then file:close() end; return text:sub(1, 30) end`);
await evaluate(a, `Send({ Target = "${p}", Action = "Note", Data = "n", ["Weft-Read"] = "/data/${'A'.repeat(43)}" })`);
out.note = (await arrival(p, 'the note', m => tag(m, 'Action') === 'Note'));
out.noteShown = await shown(p, out.note.message.id);
out.itemAgain = await upload(ethereum, 'read in its own slot', { Name: 'again' });
out.ownSlot = await shown(p, await ao.assign({ process: p, message: out.itemAgain }));
out.bootSource = await upload(new ArweaveSigner(alice), 'Booted = "yes"', { Name: 'boot' });
out.booted = await spawn('booted', { 'On-Boot': out.bootSource });
out.boot = await evaluate(out.booted, 'return tostring(Booted)');
out.bootLog = (await log(out.booted)).edges[0].node.assignment;

// Casts: one by bob, one by process a, and an ordinary message after them.
out.cast = await ao.message({ process: p, signer: bobs, data: 'bob', tags: named({ Action: 'Ask', Cast: 'true' }) });
await evaluate(a, `Send({ Target = "${p}", Action = "Ask", Data = "a", Cast = "true" })`);
out.castOfA = (await arrival(p, 'the cast of a', m => tag(m, 'Action') === 'Ask' && tag(m, 'From-Process') === a)).message.id;
await evaluate(a, `Send({ Target = "${p}", Action = "Ask", Data = "openly" })`);
out.open = (await arrival(p, 'the open question', m => m?.data === 'openly')).message.id;
await arrival(a, 'the answer', m => m?.data === 'for openly');
out.logOfA = (await log(a)).edges.map(e => e.node.message?.data ?? null);

async function proof(jwk, message, { expires = Date.now() + 60_000, process = p } = {}) {
  const one = new ArweaveSigner(jwk);
  const tags = named({ 'Data-Protocol': 'weft', Type: 'Read-Outcome', Process: process, Message: message, Expires: String(expires) });
  const signed = createData('', one, { tags });
  await signed.sign(one);
  return signed.getRaw();
}
const ask = async (message, body, node = NODE_B) => fetch(`${node}/result/${message}?process-id=${p}`, {
  method: body ? 'POST' : 'GET', ...(body ? { body, headers: { 'content-type': 'application/octet-stream' } } : {}) }).then(answer);
out.castAsked = {
  openly: await ask(out.cast),
  sender: await ask(out.cast, await proof(bob, out.cast)),
  owner: await ask(out.cast, await proof(alice, out.cast), NODE_A),
  stranger: await ask(out.cast, await proof(wallet('CAROL'), out.cast)),
  late: await ask(out.cast, await proof(bob, out.cast, { expires: Date.now() - 60_000 })),
  early: await ask(out.cast, await proof(bob, out.cast, { expires: Date.now() + 3_600_000 })),
  other: await ask(out.cast, await proof(bob, out.open)),
  senderOfA: await ask(out.castOfA, await proof(alice, out.castOfA)),
  notOfA: await ask(out.castOfA, await proof(bob, out.castOfA)),
};
out.listed = (await fetch(`${NODE_B}/results/${p}?sort=DESC&limit=1000`).then(r => r.json())).edges.map(e => e.node);
out.slots = (await fetch(`${NODE_B}/v1/processes/${p}/results?limit=1000`).then(r => r.json())).results;
out.receipt = await fetch(`${NODE_B}/v1/processes/${p}/messages/${out.cast}`).then(r => r.json());
console.log(JSON.stringify(out));
