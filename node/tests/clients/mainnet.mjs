// The real AO client in its mainnet mode, every function it has there, against one node of a testnet, beside the legacy
// mode against another. What came back is printed as one JSON document; the test (mainnet.rs) judges it.
import { readFileSync } from 'node:fs';
import { connect, createDataItemSigner, createSigner } from '@permaweb/aoconnect';
import { ArweaveSigner, createData } from '@dha-team/arbundles';

const { NODE_A, NODE_B, GATEWAY, UPLOADER, NETWORK } = process.env;
const wallet = name => JSON.parse(readFileSync(process.env[name], 'utf8'));
const [alice, bob] = [wallet('ALICE'), wallet('BOB')];
const ao = connect({ MODE: 'mainnet', URL: NODE_A, GATEWAY_URL: GATEWAY, signer: createSigner(alice) });
const stranger = connect({ MODE: 'mainnet', URL: NODE_B, GATEWAY_URL: GATEWAY, signer: createSigner(bob) });
const legacy = connect({ MODE: 'legacy', MU_URL: NODE_B, CU_URL: NODE_B, GATEWAY_URL: NODE_B });
const signer = createDataItemSigner(alice);
const out = { functions: Object.keys(ao).filter(name => typeof ao[name] === 'function').sort() };

const PATIENCE = 60_000;
async function until(what, look) {
  for (const late = Date.now() + PATIENCE; Date.now() < late; await new Promise(resume => setTimeout(resume, 100))) {
    const found = await look();
    if (found) return found;
  }
  throw new Error(`not within ${PATIENCE} ms: ${what}`);
}
const named = tags => Object.entries(tags).map(([name, value]) => ({ name, value }));
const failed = async call => { try { return { value: await call() }; } catch (fault) { return { fault: fault.message }; } };
const evaluate = (process, data) => ao.message({ process, data, tags: named({ Action: 'Eval' }), opts: { fullResponse: true } });

async function publish(file) {
  const tags = named({
    'Data-Protocol': 'ao', Variant: 'ao.TN.1', Type: 'Module', 'Module-Format': 'wasm64-unknown-emscripten-draft_2024_02_15',
    'Input-Encoding': 'JSON-1', 'Output-Encoding': 'JSON-1', 'Memory-Limit': '1-gb', 'Compute-Limit': '9000000000000',
    'Content-Type': 'application/wasm',
  });
  const item = createData(readFileSync(file), new ArweaveSigner(alice), { tags });
  await item.sign(new ArweaveSigner(alice));
  const answer = await fetch(`${UPLOADER}/tx`, { method: 'POST', headers: { 'content-type': 'application/octet-stream' }, body: item.getRaw() });
  if (!answer.ok) throw new Error(`publishing: ${answer.status} ${await answer.text()}`);
  return item.id;
}

// Two processes in this mode, each message in every form the client has.
// (Not in a variable MODULE of the environment: the client takes that for the module of every spawn.)
const module = await publish(process.env.AOS_FILE);
out.a = await ao.spawn({ module, tags: named({ Name: 'a' }) });
out.b = await ao.spawn({ module, authority: NETWORK, tags: named({ Name: 'b' }), data: 'unread' });
const { a, b } = out;
out.sum = await evaluate(a, 'return 1 + 1');
out.slot = await ao.message({ process: a, data: 'Count = (Count or 0) + 1; return Count', tags: named({ Action: 'Eval' }) });
out.id = await ao.message({ process: a, data: 'return "by id"', tags: named({ Action: 'Eval' }), returnMessageId: true });
out.both = await ao.message({ process: a, data: 'return "both"', tags: named({ Action: 'Eval' }), returnMessageId: true, returnAssignmentSlot: true });
out.bySlot = await ao.result({ process: a, slot: out.slot });
out.byMessage = await stranger.result({ process: a, message: out.id });
out.spawned = await ao.result({ process: a, slot: 0 });
out.results = await ao.results({ process: a });

// Messages between them, both ways, pushed without being asked for.
out.handler = await evaluate(b, `Handlers.add("ping", "Ping", function (msg) msg.reply({ Action = "Pong", Data = "pong " .. msg.Data }) end)`);
await evaluate(a, `Pongs = {}; Handlers.add("pong", "Pong", function (msg) table.insert(Pongs, msg.From .. " " .. msg.Data) end)`);
const head = process => fetch(`${NODE_B}/${process}~process@1.0/slot/current`).then(answer => answer.text()).then(Number);
const asked = (await head(a)) + 1;
out.send = await evaluate(a, `Send({ Target = "${b}", Action = "Ping", Data = "hello" })`);
await until('the answer of b', async () => (await head(a)) > asked);
// Pushed again: what was delivered is found to be there.
const heads = await Promise.all([a, b].map(head));
const again = await fetch(`${NODE_B}/${a}~process@1.0/push&slot=${asked}`, { method: 'POST' });
out.again = [again.status, await again.json()];
out.headsAgain = [heads, await Promise.all([a, b].map(head))];
out.pongs = await evaluate(a, 'return #Pongs .. " " .. Pongs[1]');

// Dry runs: by the owner, whose word counts, and by a stranger; no trace.
out.before = await head(a);
out.dryrun = await ao.dryrun({ process: a, data: 'Sneaked = 7; return Count + Sneaked', tags: named({ Action: 'Eval' }) });
out.dryrunByStranger = await stranger.dryrun({ process: b, data: 'dry', tags: named({ Action: 'Ping', Note: 'a/b & c' }) });
out.after = await head(a);

// A message that fails is a result, and the process goes on.
out.failure = await evaluate(a, 'Broken = true; error("on purpose")');
out.unbroken = await evaluate(a, 'return tostring(Broken)');

// The same processes in legacy mode: what one mode wrote, the other reads.
const old = await legacy.spawn({ module, scheduler: NETWORK, signer, tags: named({ Name: 'old' }) });
out.old = old;
out.oldSlot = await ao.message({ process: old, data: 'return "by mainnet"', tags: named({ Action: 'Eval' }) });
const oldMessage = await legacy.message({ process: old, signer, data: 'return "by legacy"', tags: named({ Action: 'Eval' }) });
const plain = (process, message) => until(`result ${message}`, async () => {
  const got = await legacy.result({ process, message });
  return 'error' in got ? null : got;
});
out.crossed = [await plain(a, out.id), await ao.result({ process: old, message: oldMessage }), await ao.result({ process: old, slot: out.oldSlot })];

// What reads the scheduler.
out.messages = await ao.getMessages({ processId: a, from: '', to: '', limit: '3' });
out.lastSlot = await ao.getLastSlot({ processId: a });
out.messageById = await ao.getMessageById({ processId: a, messageId: out.id });
out.head = await head(a);

// Anything by path.
const text = answer => answer.text();
out.address = await ao.request({ path: '/~meta@1.0/info/address' }).then(text);
out.data = await ao.request({ path: `/${a}~process@1.0/compute/results/data`, slot: out.slot }).then(text);
out.schedule = await ao.request({ path: `/${a}~process@1.0/schedule`, from: 1, to: 2 }).then(answer => answer.json());
const posted = await ao.request({
  path: `/${a}~process@1.0/push`, method: 'POST', 'signing-format': 'ans104', target: a, Type: 'Message',
  'Data-Protocol': 'ao', Action: 'Eval', data: 'return "by request"',
});
out.posted = [posted.status, posted.headers.get('process'), await posted.json()];
out.unsigned = await ao.request({ path: `/${a}~process@1.0/push`, method: 'POST', target: a, data: 'x' }).then(answer => answer.status);

// What cannot be done fails, and says so to whoever looks.
out.noModule = await failed(() => ao.spawn({ module: NETWORK }));
out.nobody = await failed(() => ao.message({ process: NETWORK, data: 'x' }));
out.notYet = await failed(() => ao.result({ process: a, slot: 9999 }));
console.log(JSON.stringify(out));
