// One whole pass over the network with the real AO client. The test (passes.rs) listens line by line: it is told where the
// pass stands, kills a node in the middle, and answers when to go on. Whatever is sent while a node is down is signed once
// and sent again until it is taken, as a careful client does: the same item has one slot.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { connect, createDataItemSigner, createSigner } from '@permaweb/aoconnect';
import { ArweaveSigner, createData } from '@dha-team/arbundles';

const { DOOR, GATEWAY, NETWORK, AOS } = process.env;
const jwk = JSON.parse(readFileSync(process.env.ALICE, 'utf8'));
const signer = createDataItemSigner(jwk);
const clients = url => ({
  url,
  legacy: connect({ MODE: 'legacy', MU_URL: url, CU_URL: url, GATEWAY_URL: GATEWAY }),
  mainnet: connect({ MODE: 'mainnet', URL: url, GATEWAY_URL: GATEWAY, signer: createSigner(jwk) }),
});
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (event, more = {}) => console.log(JSON.stringify({ event, ...more }));
const ask = async (event, more) => { say(event, more); return JSON.parse((await lines.next()).value); };

const PATIENCE = 90_000;
async function until(what, look) {
  let last;
  for (const late = Date.now() + PATIENCE; Date.now() < late; await new Promise(resume => setTimeout(resume, 100))) {
    try {
      const found = await look();
      if (found) return found;
    } catch (fault) {
      last = fault.message;
      say('refused', { what, reason: last });
    }
  }
  throw new Error(`not within ${PATIENCE} ms: ${what}: ${last}`);
}
const named = tags => Object.entries(tags).map(([name, value]) => ({ name, value }));
async function json(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}
const log = async process => (await json(`${one.url}/${process}?process-id=${process}&limit=1000`)).edges.map(edge => edge.node);
const tag = (item, name) => item?.tags.find(tag => tag.name === name)?.value;

const result = (ao, process, message) => until(`the result of ${message}`, async () => {
  const got = await ao.legacy.result({ process, message });
  return 'error' in got ? null : got;
});
async function send(ao, process, tags, data) {
  const signed = await ao.legacy.signMessage({ process, signer, data, tags: named(tags) });
  return until(`sending to ${process}`, () => ao.legacy.sendSignedMessage(signed));
}
async function evaluate(ao, process, data) {
  const message = await send(ao, process, { Action: 'Eval' }, data);
  const got = await result(ao, process, message);
  if (got.Error) throw new Error(`${data}: ${JSON.stringify(got.Error)}`);
  return got.Output.data;
}
// The entry of a log that `is` says it is, with its outcome there.
async function arrival(process, what, is) {
  const node = await until(`${what} in the log of ${process}`, async () => (await log(process)).find(is));
  await result(two, process, (node.message ?? node.assignment).id);
  return node;
}

let one = clients(DOOR), two = one;
const spawn = (Name, more = {}) =>
  one.legacy.spawn({ module: AOS, scheduler: NETWORK, signer, tags: named({ Name, ...more }) });
const ids = {};
const a = (ids.a = await spawn('a')), b = (ids.b = await spawn('b'));
const clock = (ids.clock = await spawn('clock', { 'Cron-Interval': '1-second', 'Cron-Tag-Action': 'Tick' }));
await evaluate(one, a, `
  Count, Heard = 0, {}
  Handlers.add("pong", "Pong", function (msg) table.insert(Heard, msg.Data) end)
  Handlers.add("ask", "Ask", function (msg) msg.reply({ Action = "Answer", Data = "answer " .. msg.Data }) end)
  Handlers.add("spawned", "Spawned", function (msg) Child = msg.Tags.Process end)
  Handlers.add("note", "Note", function (msg) end)`);
await evaluate(one, b, `
  Heard, Noted = {}, {}
  ao.addAssignable("any", function (msg) return true end)
  Handlers.add("ping", "Ping", function (msg) msg.reply({ Action = "Pong", Data = "pong " .. msg.Data }) end)
  Handlers.add("answer", "Answer", function (msg) table.insert(Heard, msg.Data) end)
  Handlers.add("note", "Note", function (msg) table.insert(Noted, msg.Data) end)`);
await evaluate(one, clock, `
  Ticks = 0
  Handlers.add("tick", "Tick", function (msg)
    Ticks = Ticks + 1
    if Ticks == 1 then Send({ Target = "${b}", Action = "Note", Data = "first tick" }) end
  end)`);
await arrival(b, 'the first tick', ({ message }) => message?.data === 'first tick');
const ping = async text => {
  await evaluate(one, a, `Send({ Target = "${b}", Action = "Ping", Data = "${text}" }); return ""`);
  await arrival(a, `pong ${text}`, ({ message }) => message?.data === `pong ${text}`);
};
await ping('before');

// Who does what is known now. From here on the doors are of nodes that do nothing for `a`, and one of those that do dies.
const { doors } = await ask('middle', { a, b });
[one, two] = doors.map(clients);
await evaluate(one, a, 'Count = Count + 1; return Count');
say('went on');
await evaluate(two, a, 'Count = Count + 1; return Count');
await ping('during');
await evaluate(two, b, `Send({ Target = "${a}", Action = "Ask", Data = "during" }); return ""`);
await arrival(b, 'the answer', ({ message }) => message?.data === 'answer during');
await evaluate(one, a, `Spawn("${AOS}", { Data = "Word = 'born'", Tags = { Name = "child", ["On-Boot"] = "Data" } }); return ""`);
await arrival(a, 'Spawned', ({ message }) => tag(message, 'Action') === 'Spawned');
const child = (ids.child = await evaluate(one, a, 'return Child'));
await evaluate(two, a, `Send({ Target = "${child}", Action = "Eval", Data = "return Word .. ' ' .. Owner" }); return ""`);
const order = await arrival(child, 'Eval', ({ message }) => tag(message, 'Action') === 'Eval');
const born = (await result(one, child, order.message.id)).Output.data;
const noted = [await send(one, a, { Action: 'Note' }, 'noted by a process'), await send(two, a, { Action: 'Note' }, 'noted by a client')];
ids.note = noted[0];
await evaluate(one, a, `Assign({ Processes = { "${b}" }, Message = "${noted[0]}" }); return ""`);
await arrival(b, 'the first assignment', ({ assignment }) => tag(assignment, 'Message') === noted[0]);
const assignment = await until('assigning', () => two.legacy.assign({ process: b, message: noted[1] }));
await result(one, b, assignment);

// Everybody is back.
await ask('back');
// A cast: what it sends goes nowhere, and its outcome is its sender's, who proves it with a signature.
const cast = await send(one, a, { Action: 'Eval', Cast: 'true' }, `Send({ Target = "${b}", Action = "Note", Data = "must not arrive" }); return "a secret"`);
const proof = createData(' ', new ArweaveSigner(jwk), {
  tags: named({ 'Data-Protocol': 'weft', Type: 'Read-Outcome', Process: a, Message: cast, Expires: String(Date.now() + 240_000) }),
});
await proof.sign(new ArweaveSigner(jwk));
const proven = path => until('the outcome of the cast', async () => {
  const answer = await fetch(two.url + path, { method: 'POST', body: proof.getRaw() });
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  return answer.json();
});
const secrets = [await proven(`/result/${cast}?process-id=${a}`), (await proven(`/${a}~process@1.0/compute/results=${cast}`)).raw];
const unproven = await Promise.all([`/result/${cast}?process-id=${a}`, `/${a}~process@1.0/compute/results=${cast}`].map(path => fetch(two.url + path)));
// (The client drops members that it does not know.)
const shown = (await json(`${two.url}/results/${a}?limit=1&sort=DESC`)).edges[0].node;
await ping('after');
const ticked = Number(await evaluate(one, clock, 'return Ticks'));
await until('two more ticks', async () => Number(await evaluate(two, clock, 'return Ticks')) >= ticked + 2);
const ticks = (await log(clock)).map(({ message }) => tag(message, 'Weft-Cron')).filter(Boolean).map(name => Number(name.split('/')[3]));
const listed = (await json(`${two.url}/cron/${clock}?limit=1000`)).edges;
const pages = [];
for (let from; ;) {
  const { edges } = await two.legacy.results({ process: a, limit: 4, ...(from && { from }) });
  if (edges.length === 0) break;
  pages.push(edges.map(edge => JSON.stringify(edge.node)));
  from = edges.at(-1).cursor;
}
const all = (await one.legacy.results({ process: a, limit: 1000 })).edges.map(edge => JSON.stringify(edge.node));
const dryrun = await two.legacy.dryrun({ process: b, tags: named({ Action: 'Ping' }), data: 'dry' });
const mainnet = {};
mainnet.slot = await one.mainnet.message({ process: a, data: 'return Count', tags: named({ Action: 'Eval' }) });
mainnet.result = (await two.mainnet.result({ process: a, slot: mainnet.slot })).Output.data;
mainnet.results = (await one.mainnet.results({ process: a })).edges[0].node.Output.data;
mainnet.dryrun = (await two.mainnet.dryrun({ process: b, tags: named({ Action: 'Ping' }), data: 'dry' })).Messages[0].Data;
const fresh = (ids.fresh = await two.mainnet.spawn({ module: AOS, tags: named({ Name: 'fresh' }) }));
mainnet.fresh = (await one.mainnet.message({ process: fresh, data: 'return ao.id', tags: named({ Action: 'Eval' }), opts: { fullResponse: true } })).Output.data;

// What is the same however the pass went: names instead of ids, logs as who said what.
const nameOf = text => Object.entries(ids).reduce((text, [name, id]) => text.replaceAll(id, name), String(text));
const entry = ({ message, assignment }) =>
  message ? nameOf(`${tag(message, 'Action') ?? tag(message, 'Type')} ${tag(message, 'From-Process') ?? 'client'}: ${message.data}`) : 'assigned';
const ends = {
  counted: await evaluate(one, a, 'return Count'),
  heardByA: await evaluate(two, a, 'return table.concat(Heard, ", ")'),
  heardByB: await evaluate(one, b, 'return table.concat(Heard, ", ")'),
  noted: await evaluate(two, b, 'return table.concat(Noted, ", ")'),
  born: nameOf(born),
  pagesAreAll: JSON.stringify(pages.flat()) === JSON.stringify(all) && pages.slice(0, -1).every(page => page.length === 4),
  ticksAreDense: ticks.every((number, at) => number === at + 1),
  ticksAreListed: listed.length >= ticks.length && listed.every(({ cursor }) => JSON.parse(atob(cursor)).cron === '0-1-second'),
  cast: { secrets: secrets.map(({ Output }) => Output.data), unproven: unproven.map(({ status }) => status), shown },
  dryrun: dryrun.Messages[0].Data,
  mainnet: JSON.parse(nameOf(JSON.stringify(mainnet))),
  logs: {},
};
for (const name of ['a', 'b', 'child', 'fresh']) ends.logs[name] = (await log(ids[name])).map(entry);
say('end', { ends, ids });
process.exit(0);
