//! What it costs that a message of an aos process can be undone: copies, going back, replays, roots, parking.
//!
//! `cargo bench --workspace --bench protection` (needs npm for the module; `-- WORD`: only workloads with it in their name). Processor time of one thread; all ways of
//! protecting get the same messages in turns, so that what else the machine does weighs on all of them. The first column
//! cannot undo anything beyond a replay of everything and is what the others are compared with.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a benchmark")]

use std::fs;

use serde_json::{Value, json};
use weft_node::compute::{Instance, Module, Parked, ReplayPolicy, on_evaluation_stack};

#[path = "../tests/support/modules.rs"]
mod modules;

/// Turns of each way, and messages of a turn (fewer of those that take long).
const TURNS: usize = 6;
const PER_TURN: [usize; 3] = [40, 40, 8];
/// Messages after which a root is asked for, as the service does at the end of a window.
const ROOT_EVERY: usize = 16;

const NEVER: ReplayPolicy = ReplayPolicy { messages: usize::MAX, bytes: usize::MAX, fuel: u64::MAX, adaptive: false };
const ALWAYS: ReplayPolicy = ReplayPolicy { messages: 1, ..NEVER };

/// Ids of which no two are alike where Lua's hash looks, and the handlers of a token as it is usually written.
const TOKEN: &str = r"
local seed = 1
local function part() seed = seed * 6364136223846793005 + 1442695040888963407; return seed ~ (seed >> 29) end
local function id() return string.format('%016x%016x', part(), part()) .. string.format('%016x', part()):sub(1, 11) end
Balances = {}
for i = 1, COUNT do Balances[id()] = '1000000000000' end
Balances[Owner] = '1000000000000000000000'
local bint = require('.bint')(256)
Handlers.add('transfer', Handlers.utils.hasMatchingTag('Action', 'Transfer'), function(msg)
  local to, qty = msg.Tags.Recipient, msg.Tags.Quantity
  Balances[to] = Balances[to] or '0'
  assert(bint.__le(bint(qty), bint(Balances[msg.From])), 'insufficient')
  Balances[msg.From] = tostring(bint(Balances[msg.From]) - bint(qty))
  Balances[to] = tostring(bint(Balances[to]) + bint(qty))
  ao.send({ Target = msg.From, Action = 'Debit-Notice', Recipient = to, Quantity = qty })
  ao.send({ Target = to, Action = 'Credit-Notice', Sender = msg.From, Quantity = qty })
  if msg.Tags.Fail then os.exit(1) end
end)
return 'ready'";

const PING: &str = r"
Pings = 0
Handlers.add('ping', Handlers.utils.hasMatchingTag('Action', 'Ping'), function(msg)
  Pings = Pings + 1
  ao.send({ Target = msg.From, Action = 'Pong', Data = 'pong ' .. Pings })
  if msg.Tags.Fail then os.exit(1) end
end)
return 'ready'";

/// A process's first messages, and one that is repeated.
struct Work {
    name: &'static str,
    env: String,
    first: Vec<String>,
    message: Value,
}

impl Work {
    fn new(name: &'static str, lua: &str, action: &str) -> Self {
        let run = modules::vectors()["runs"][0].clone();
        let step = |index: usize| run["steps"][index]["msgJSON"].as_str().unwrap().to_owned();
        let mut set_up: Value = serde_json::from_str(&step(1)).unwrap();
        set_up["Data"] = lua.into();
        let mut message = set_up.clone();
        message["Data"] = "1".into();
        let tags = message["Tags"].as_array_mut().unwrap();
        tags.iter_mut().filter(|tag| tag["name"] == "Action").for_each(|tag| tag["value"] = action.into());
        tags.push(json!({"name": "Recipient", "value": "x".repeat(43)}));
        tags.push(json!({"name": "Quantity", "value": "100"}));
        let env = run["envJSON"].as_str().unwrap().to_owned();
        Self { name, env, first: vec![step(0), set_up.to_string()], message }
    }

    fn message(&self, number: usize, fails: bool) -> String {
        let mut message = self.message.clone();
        message["Timestamp"] = json!(1_735_689_600_000_u64 + number as u64);
        if fails {
            message["Tags"].as_array_mut().unwrap().push(json!({"name": "Fail", "value": "yes"}));
        }
        message.to_string()
    }

    fn start(&self, module: &Module, policy: ReplayPolicy) -> Instance {
        let mut instance = Instance::new(module).unwrap();
        for message in &self.first {
            let done = instance.apply(message, &self.env);
            assert!(done.committed, "{done:?}");
        }
        // Without what came before in the replay.
        let parked = instance.park().unwrap();
        Instance::revive(module, &parked).unwrap().with_policy(policy)
    }
}

/// One way of protecting a process, and what its messages have taken.
struct Way {
    name: &'static str,
    instance: Instance,
    /// One message of so many fails; 0: none does.
    failing: usize,
    roots: bool,
    sent: usize,
    each: Vec<f64>,
}

impl Way {
    fn turn(&mut self, work: &Work, messages: usize, timed: bool) {
        for _ in 0..messages {
            self.sent += 1;
            let fails = self.failing > 0 && self.sent.is_multiple_of(self.failing);
            let message = work.message(self.sent, fails);
            let before = processor();
            let done = self.instance.apply(&message, &work.env);
            if self.roots && self.sent.is_multiple_of(ROOT_EVERY) {
                self.instance.root().unwrap();
            }
            let taken = processor() - before;
            assert_eq!(done.committed, !fails, "{done:?}");
            if timed {
                self.each.push(taken);
            }
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Processor time of this thread in milliseconds.
fn processor() -> f64 {
    // The kernel brings the figure up to date when the thread asks for somebody else's turn.
    std::thread::yield_now();
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1e6
}

fn main() {
    on_evaluation_stack(|| {
        let module = modules::aos(&modules::engine(|_| {}));
        let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
        let large = TOKEN.replace("COUNT", "100000");
        let works = [
            Work::new("ping", PING, "Ping"),
            Work::new("transfer among 1,000 balances", &TOKEN.replace("COUNT", "1000"), "Transfer"),
            Work::new("transfer among 100,000 balances", &large, "Transfer"),
        ];
        for (work, per_turn) in works.iter().zip(PER_TURN).filter(|(work, _)| work.name.contains(&only)) {
            measure(&module, work, per_turn);
        }
    })
    .unwrap();
}

fn measure(module: &Module, work: &Work, per_turn: usize) {
    let way = |name, policy, failing, roots| {
        let instance = work.start(module, policy);
        Way { name, instance, failing, roots, sent: 0, each: Vec::new() }
    };
    let usual = ReplayPolicy::default();
    let mut ways = [
        way("no copies", NEVER, 0, false),
        way("a copy before each", ALWAYS, 0, false),
        way("as Weft does", usual, 0, false),
        way("and a root every 16", usual, 0, true),
        way("one of 100 fails", usual, 100, false),
        way("one of 10 fails", usual, 10, false),
        way("one of 2 fails", usual, 2, false),
        way("all fail", usual, 1, false),
    ];
    for turn in 0..=TURNS {
        ways.iter_mut().for_each(|way| way.turn(work, per_turn, turn > 0));
    }
    println!("\n{}", work.name);
    let least = mean(&ways[0].each);
    for way in &ways {
        let each = mean(&way.each);
        println!("  {:<24}{:>8.3} ms a message{:>+8.1} %", way.name, each, (each / least - 1.0) * 100.0);
    }
    at_rest(module, &mut ways[2].instance, work);
}

fn at_rest(module: &Module, instance: &mut Instance, work: &Work) {
    let mut times: [Vec<f64>; 5] = Default::default();
    let mut size = [0, 0];
    for number in 0..20 {
        assert!(instance.apply(&work.message(number, false), &work.env).committed);
        let mut time = |index: usize, run: &mut dyn FnMut()| {
            let before = processor();
            run();
            times[index].push(processor() - before);
        };
        time(0, &mut || drop(instance.root()));
        time(1, &mut || drop(instance.root()));
        time(2, &mut || size[0] = instance.snapshot().unwrap().as_bytes().len());
        let mut bytes = None;
        time(3, &mut || bytes = Some(instance.park().unwrap().as_bytes().clone()));
        let bytes = bytes.unwrap();
        size[1] = bytes.len();
        time(4, &mut || drop(Instance::revive(module, &Parked::from_bytes(bytes.clone()).unwrap()).unwrap()));
    }
    let names = ["copy and root", "root of a copy", "snapshot of a copy", "park a copy", "revive"];
    for (name, mut times) in names.iter().zip(times) {
        times.sort_by(f64::total_cmp);
        println!("  {name:<24}{:>8.3} ms", times[times.len() / 2]);
    }
    println!(
        "  snapshot {} KiB, parked {} KiB, in memory {} KiB",
        size[0] >> 10,
        size[1] >> 10,
        instance.weight() >> 10
    );
}
