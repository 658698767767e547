// Loaded before a client (NODE_OPTIONS=--import=…/route.mjs), stands in for DNS: connections to the hosts that AO's
// packages have hard-wired end at a node of the test's network. The packages themselves stay as they are published.
//
//   ROUTES='su-router.ao-testnet.xyz=http://127.0.0.1:4003 arweave.net=http://127.0.0.1:4000'
//
// maps those hosts, whatever scheme and port they are asked by; every other address is reached as it stands. A host that is
// neither mapped nor this machine is refused at once and by name, so that no test leans on the internet without knowing.
const SLOT = Symbol.for('undici.globalDispatcher.1');
// Read at every connection: a script may change them on the way.
const routes = () => new Map((process.env.ROUTES ?? '').split(/\s+/).filter(Boolean).map(route => {
  const at = route.indexOf('=');
  return [route.slice(0, at), new URL(route.slice(at + 1)).origin];
}));
const here = new Set(['127.0.0.1', 'localhost', '[::1]']);

// The dispatcher behind the global fetch is there once something has been fetched.
await fetch('data:,');
const inner = globalThis[SLOT];
if (!inner?.dispatch) throw new Error('route.mjs does not know how this version of Node.js connects; use Node.js 18 to 24');

function dispatch(options, handler) {
  const { hostname } = new URL(options.origin);
  const origin = routes().get(hostname);
  if (origin) return inner.dispatch({ ...options, origin }, handler);
  if (here.has(hostname)) return inner.dispatch(options, handler);
  throw new Error(`${hostname} is neither in ROUTES nor on this machine`);
}
const routed = new Proxy(inner, {
  get: (target, name) => {
    if (name === 'dispatch') return dispatch;
    const value = target[name];
    return typeof value === 'function' ? value.bind(target) : value;
  },
});
globalThis[SLOT] = routed;
