// wao, given nothing but a port: it makes the units' addresses of it (gateway, bundler, messenger, scheduler and compute on
// five ports in a row), hard-codes AO's public scheduler, and asks the gateway as arweave-js and by its own GraphQL.
import { readFileSync } from 'node:fs';
import { AO } from 'wao';
import Arweave from 'arweave';

const { env } = process;
const jwk = JSON.parse(readFileSync(env.ALICE, 'utf8'));
setTimeout(() => { console.error('the script took too long'); process.exit(1); }, 150_000).unref();
// Where another network has some of the five ports, the addresses are given one by one.
const { MU_URL, CU_URL, GATEWAY_URL } = env;
const where = env.PORT ? Number(env.PORT)
  : { aoconnect: { MU_URL, CU_URL, GATEWAY_URL }, ar: { host: 'localhost', port: Number(new URL(env.GATEWAY).port), protocol: 'http' } };
const ao = await new AO(where).init(jwk);
const out = { address: await ao.ar.toAddr(jwk), balance: await ao.ar.balance() };
const kept = async promise => { const { err, id, mid } = await promise; return { err: err && String(err), id, mid }; };

out.module = await kept(ao.postModule({ data: readFileSync(env.MODULE), overwrite: true }));
const deployed = await ao.deploy({ src_data: `
  Handlers.add("Hello", "Hello", function (msg) msg.reply({ Data = "Hi " .. msg.Tags.Who, Tag = "t" }) end)
  Handlers.add("Relay", "Relay", function (msg)
    local answer = Send({ Target = msg.Tags.To, Action = "Hello", Who = "relay" }).receive()
    msg.reply({ Data = "heard " .. answer.Data })
  end)` });
out.deployed = { err: deployed.err && String(deployed.err), pid: deployed.pid };
const other = await ao.deploy({ src_data: `
  Handlers.add("Hello", "Hello", function (msg) msg.reply({ Data = "Hi " .. msg.Tags.Who }) end)` });
const p = deployed.p;
out.message = await p.m('Hello', { Who: 'wao' }, { get: { data: true } });
out.tag = await p.m('Hello', { Who: 'wao' }, { get: 'Tag', check: 'Hi wao' });
out.dry = await p.d('Hello', { Who: 'dry' }, { get: { data: true } });
// Its answer comes in a later slot: wao looks for it in the pages of results.
out.relayed = await p.msg('Relay', { To: other.pid }, { get: { data: true }, check: /heard/, timeout: 20_000 }).then(x => x.out);
out.owner = (await ao.dry({ pid: p.pid, jwk, data: 'return 1' })).res?.Output !== undefined;
const page = await ao.ress({ pid: p.pid, limit: 2 });
out.page = page.out?.length;
out.assigned = await kept(ao.asgn({ pid: other.pid, mid: (await p.msg('Hello', { Who: 'x' })).mid }));
out.located = await kept(ao.postScheduler({ url: 'http://127.0.0.1:1' }));

// The gateway, as wao asks it.
out.byRecipient = (await ao.ar.gql.txs({ recipient: p.pid, limit: 25, fields: ['id', 'recipient', 'tags', { owner: ['address'] }] })).map(tx => tx.recipient);
out.byTag = (await ao.ar.gql.txs({ tags: { Type: 'Scheduler-Location' }, limit: 5 })).map(tx => tx.id);
out.blocks = (await ao.ar.gql.blocks({ limit: 2 })).map(block => block.height);
out.tx = (await ao.ar.tx(out.module.id))?.id;
out.data = await ao.ar.data((await ao.ar.post({ data: 'kept', jwk })).id, true);
out.bundle = await kept(ao.ar.bundle([['hello', { a: 1 }]], jwk));
const poor = (await ao.ar.gen('1')).jwk;
out.transfer = await kept(ao.ar.transfer('0.5', await ao.ar.toAddr(poor), jwk));
out.received = await ao.ar.balance(await ao.ar.toAddr(poor));

// arweave-js with a node as its only host: the chain's routes are handed on.
const { hostname, port } = new URL(env.NODE_B);
const arweave = Arweave.init({ host: hostname, port, protocol: 'http' });
const tx = await arweave.createTransaction({ data: 'x'.repeat(300_000) }, jwk);
tx.addTag('Through', 'a node');
await arweave.transactions.sign(tx, jwk);
const uploader = await arweave.transactions.getUploader(tx);
while (!uploader.isComplete) await uploader.uploadChunk();
await ao.ar.mine();
out.arweave = { status: await arweave.transactions.getStatus(tx.id), tags: (await arweave.transactions.get(tx.id)).tags.length,
  length: (await arweave.transactions.getData(tx.id, { decode: true })).length,
  balance: await arweave.wallets.getBalance(out.address), height: (await arweave.network.getInfo()).height,
  last: await arweave.wallets.getLastTransactionID(out.address), price: await arweave.transactions.getPrice(1000),
  block: (await arweave.blocks.getCurrent()).height };
console.log(JSON.stringify(out));
process.exit(0);
