// The package that AO's units and clients find a process's scheduler with, as it is published: every function it has.
import * as utils from '@permaweb/ao-scheduler-utils';

const { GRAPHQL, PROCESS, MESSAGE, PINNED, NETWORK, STRANGER, CLOSED } = process.env;
const told = promise => promise.then(value => ({ value }), fault => ({ fault: `${fault.name}: ${fault.message}` }));
const connect = options => utils.connect({ GRAPHQL_URL: GRAPHQL, ...options });

const out = { exports: Object.keys(utils).sort() };
const { locate, raw, validate, getProcess } = connect({ HB_GRAPHQL_URL: CLOSED });
out.located = await told(locate(PROCESS));
out.again = await told(locate(PROCESS));
out.redirects = await told(connect({ followRedirects: true }).locate(PROCESS));
out.default = await told(utils.locate(PROCESS));
out.hinted = await told(connect().locate(PROCESS, PINNED));
out.elected = await told(connect().locate(PROCESS, NETWORK));
out.raw = await told(raw(PINNED));
out.valid = await told(validate(PINNED));
out.stranger = await told(connect().validate(STRANGER));
out.process = await told(getProcess(PROCESS));

// What is done with the address: read the log.
const { url } = out.located.value ?? {};
const read = async path => (await fetch(`${url}${path}`)).json();
if (url) {
  out.page = await read(`/${PROCESS}?process-id=${PROCESS}&limit=100`);
  out.unnamed = await read(`/${PROCESS}?limit=100`);
  out.message = await read(`/${MESSAGE}?process-id=${PROCESS}`);
  out.record = await read(`/processes/${PROCESS}`);
  out.time = await read('/timestamp');
}
console.log(JSON.stringify(out));
