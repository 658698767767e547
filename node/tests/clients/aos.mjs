// The real AO client against two nodes of a testnet: what a person would do with it, and what came back, as one JSON
// document on standard output. The test (clients.rs) judges it; here only waits have deadlines.
import { readFileSync } from 'node:fs';
import { connect, createDataItemSigner } from '@permaweb/aoconnect';
import { ArweaveSigner, createData } from '@dha-team/arbundles';

const env = process.env;
const { NODE_A, NODE_B, GATEWAY, UPLOADER, NETWORK } = env;
const wallet = name => JSON.parse(readFileSync(env[name], 'utf8'));
const [alice, bob] = [wallet('ALICE'), wallet('BOB')].map(jwk => ({ jwk, signer: createDataItemSigner(jwk) }));
// One client asks the network's node for everything, the other uses the gateway as a gateway.
const one = connect({ MODE: 'legacy', MU_URL: NODE_A, CU_URL: NODE_A, GATEWAY_URL: NODE_A });
const two = connect({ MODE: 'legacy', MU_URL: NODE_B, CU_URL: NODE_B, GATEWAY_URL: GATEWAY });
const out = { times: {} };
let since = Date.now();
const lap = name => { out.times[name] = Date.now() - since; since = Date.now(); };

const PATIENCE = 120_000;
setTimeout(() => { console.error('the script as a whole took too long', out); process.exit(1); }, 2 * PATIENCE).unref();
const pause = () => new Promise(resume => setTimeout(resume, 100));
async function until(what, look) {
  const late = Date.now() + PATIENCE;
  let last;
  while (Date.now() < late) {
    last = await look();
    if (last) return last;
    await pause();
  }
  throw new Error(`not within ${PATIENCE} ms: ${what}`);
}
async function json(url) {
  const answer = await fetch(url);
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${text}`);
  return JSON.parse(text);
}
const named = tags => Object.entries(tags).map(([name, value]) => ({ name, value }));
// The client hands a node's error document over like a result; a slow node says "not evaluated yet".
const result = (ao, process, message) => until(`result ${message} of ${process}`, async () => {
  const got = await ao.result({ process, message });
  return 'error' in got ? (console.error(got.error), null) : got;
});
async function evaluate(ao, process, data, { signer } = alice) {
  const message = await ao.message({ process, signer, data, tags: named({ Action: 'Eval' }) });
  return { message, ...(await result(ao, process, message)) };
}
const log = (node, process) => json(`${node}/${process}?process-id=${process}&limit=1000`);
const tag = (item, name) => item?.tags.find(t => t.name === name)?.value;
// The first message in a process's log that `is` says it is.
const arrival = (node, process, what, is) => until(`${what} in the log of ${process}`, async () =>
  (await log(node, process)).edges.map(e => e.node).find(node => is(node.message, node)));

async function publish(file, format, url) {
  const tags = named({
    'Data-Protocol': 'ao', Variant: 'ao.TN.1', Type: 'Module', 'Module-Format': format,
    'Input-Encoding': 'JSON-1', 'Output-Encoding': 'JSON-1', 'Memory-Limit': '1-gb', 'Compute-Limit': '9000000000000',
    'Content-Type': 'application/wasm',
  });
  const signer = new ArweaveSigner(alice.jwk);
  const item = createData(readFileSync(file), signer, { tags });
  await item.sign(signer);
  const headers = { 'content-type': 'application/octet-stream' };
  const answer = await fetch(`${url}/tx`, { method: 'POST', headers, body: item.getRaw() });
  if (!answer.ok) throw new Error(`publishing ${file} at ${url}: ${answer.status} ${await answer.text()}`);
  return item.id;
}
const spawn = (ao, module, name) => ao.spawn({ module, scheduler: NETWORK, signer: alice.signer, tags: named({ Name: name }) });

// Two modules, one through the uploader, one through a node; two processes, one through each node.
out.module = await publish(env.MODULE, 'wasm64-unknown-emscripten-draft_2024_02_15', UPLOADER);
out.module32 = await publish(env.MODULE_32, 'wasm32-unknown-emscripten4', NODE_B);
lap('publish');
out.a = await spawn(one, out.module, 'a');
out.b = await spawn(two, out.module, 'b');
out.c = await spawn(one, out.module32, 'c');
const { a, b, c } = out;
lap('spawn');
out.sum = await evaluate(one, a, 'return 1+1');
lap('first evaluation of a');
out.sumElsewhere = await result(two, a, out.sum.message);
out.sum32 = await evaluate(two, c, 'return 1+1');
lap('first evaluation of c');

// Handlers, and messages between the processes: a handler's answer, and an answer waited for.
out.handlersB = await evaluate(two, b, `
  ao.addAssignable("any", function (msg) return true end)
  Handlers.add("ping", "Ping", function (msg) msg.reply({ Action = "Pong", Data = "pong " .. msg.Data }) end)
  Handlers.add("note", "Note", function (msg) Noted = (Noted or "") .. msg.Data .. ";" end)
  return #Handlers.list`);
lap('first evaluation of b');
out.handlersA = await evaluate(one, a, `
  Answers, Children = {}, {}
  Handlers.add("pong", "Pong", function (msg) table.insert(Answers, msg.From .. " " .. msg.Data) end)
  Handlers.add("spawned", "Spawned", function (msg) table.insert(Children, msg.Tags.Process) end)
  Handlers.add("note", "Note", function (msg) end)
  return #Handlers.list`);
out.send = await evaluate(one, a, `Send({ Target = "${b}", Action = "Ping", Data = "hello" })`);
const ping = await arrival(NODE_A, b, 'Ping', m => tag(m, 'Action') === 'Ping');
const pong = await arrival(NODE_B, a, 'Pong', m => tag(m, 'Action') === 'Pong');
out.ping = ping.message;
out.pong = pong.message;
out.pongResult = await result(two, a, pong.message.id);
out.answers = await evaluate(two, a, 'return #Answers .. " " .. Answers[1]');
await evaluate(one, a, `Received = Send({ Target = "${b}", Action = "Ping", Data = "again" }).receive().Data`);
const again = await arrival(NODE_B, a, 'the second Pong', m => m?.data === 'pong again');
await result(one, a, again.message.id);
out.received = await evaluate(two, a, 'return Received');
lap('messages between processes');

// A process from inside a process: the parent hears of it and owns it.
await evaluate(one, a, `Spawn("${out.module}", { Data = "Word = 'born'", Tags = { Name = "child", ["On-Boot"] = "Data" } })`);
const spawned = await arrival(NODE_A, a, 'Spawned', m => tag(m, 'Action') === 'Spawned');
await result(one, a, spawned.message.id);
out.children = await evaluate(one, a, 'return table.concat(Children, " ")');
out.child = tag(spawned.message, 'Process');
await result(two, out.child, out.child);
await evaluate(one, a, `Send({ Target = "${out.child}", Action = "Eval", Data = "return Word .. ' ' .. Owner" })`);
const order = await arrival(NODE_B, out.child, 'Eval', m => tag(m, 'Action') === 'Eval');
out.childWord = await result(two, out.child, order.message.id);
out.childItem = (await log(NODE_A, out.child)).edges[0].node.message;
lap('spawn from inside');

// Assignments, from inside and by the client; the same again has the slot it has.
const note = data => one.message({ process: a, signer: bob.signer, data, tags: named({ Action: 'Note' }) });
const [first, second] = [await note('one'), await note('two')];
await evaluate(one, a, `Assign({ Processes = { "${b}" }, Message = "${first}" })`);
const inside = await arrival(NODE_B, b, 'the assignment', (m, node) => tag(node.assignment, 'Message') === first);
out.assignedInside = inside;
out.assignment = await two.assign({ process: b, message: second });
out.assignmentAgain = await one.assign({ process: b, message: second });
await result(one, b, out.assignment);
out.noted = await evaluate(one, b, 'return Noted');
lap('assignments');

// Dry runs see the state and leave none.
const tags = named({ Action: 'Eval' });
const Owner = (await json(`${NODE_A}/processes/${a}`)).owner.address;
out.before = (await json(`${NODE_B}/v1/processes/${a}`)).next_slot;
out.dryrun = await two.dryrun({ process: a, tags, Owner, data: 'Sneaked = 7; return Received .. Sneaked' });
out.dryrunByStranger = await one.dryrun({ process: b, tags: named({ Action: 'Ping' }), data: 'dry' });
out.after = (await json(`${NODE_B}/v1/processes/${a}`)).next_slot;
out.trace = await evaluate(one, a, 'return tostring(Sneaked)');
lap('dry runs');

// Errors are results, and leave the process as it was.
out.failed = await evaluate(one, a, 'Broken = true; error("on purpose")');
out.unbroken = await evaluate(two, a, 'return tostring(Broken)');
lap('errors');

// Pages of results: all of them forwards in threes, and the newest backwards.
out.all = (await two.results({ process: a, limit: 1000 })).edges;
out.pages = [];
for (let from; ;) {
  const page = await one.results({ process: a, limit: 3, ...(from && { from }) });
  if (page.edges.length === 0) break;
  out.pages.push(page.edges);
  from = page.edges.at(-1).cursor;
}
out.newest = (await two.results({ process: a, limit: 3, sort: 'DESC' })).edges;
out.older = (await one.results({ process: a, limit: 3, sort: 'DESC', to: out.newest.at(-1).cursor })).edges;
out.feed = (await two.results({ process: a, limit: 1000, from: out.newest[0].cursor })).edges;
lap('pages');

// Monitoring is accepted from the owner, and from nobody else.
const told = async call => { try { await call(); return 'accepted'; } catch (fault) { return fault.message; } };
out.monitor = await told(() => one.monitor({ process: a, signer: alice.signer }));
out.unmonitor = await told(() => two.unmonitor({ process: a, signer: alice.signer }));
out.strangersMonitor = await told(() => one.monitor({ process: a, signer: bob.signer }));

// Both nodes show the same logs, whole and one message at a time.
out.logs = [];
for (const process of [a, b, c, out.child]) {
  const [here, there] = await Promise.all([NODE_A, NODE_B].map(node => log(node, process)));
  out.logs.push({ process, here, there });
}
out.firstTwo = await json(`${NODE_B}/${a}?limit=2`);
out.oneMessage = await Promise.all([NODE_A, NODE_B].map(node => json(`${node}/${out.sum.message}?process-id=${a}`)));
lap('logs');
console.log(JSON.stringify(out));
