//! A real aos process: failed messages leave no trace, whatever they did and whenever the state was copied.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/modules.rs"]
mod modules;

use serde_json::Value;
use weft_node::compute::{EvalErrorKind, Evaluation, Instance, Module, ReplayPolicy, on_evaluation_stack};

struct Aos {
    instance: Instance,
    boot: String,
    eval: Value,
    env: String,
}

impl Aos {
    /// A process that has had its first message.
    fn boot(module: &Module, policy: ReplayPolicy) -> Self {
        let run = modules::vectors()["runs"][0].clone();
        let msg = |index: usize| run["steps"][index]["msgJSON"].as_str().unwrap().to_owned();
        let mut aos = Self {
            instance: Instance::new(module).unwrap().with_policy(policy),
            boot: msg(0),
            eval: serde_json::from_str(&msg(1)).unwrap(),
            env: run["envJSON"].as_str().unwrap().to_owned(),
        };
        assert!(aos.instance.apply(&aos.boot, &aos.env).committed);
        aos
    }

    fn message(&self, lua: &str) -> String {
        let mut message = self.eval.clone();
        message["Data"] = lua.into();
        message.to_string()
    }

    fn eval(&mut self, lua: &str) -> Evaluation {
        self.instance.apply(&self.message(lua), &self.env)
    }

    fn data(&mut self, lua: &str) -> String {
        let evaluation = self.eval(lua);
        assert!(evaluation.committed, "{evaluation:?}");
        evaluation.result.unwrap()["Output"]["data"].as_str().unwrap().to_owned()
    }
}

fn module() -> Module {
    modules::aos(&modules::engine(|config| config.fuel_per_slot = 600_000_000))
}

const POLICIES: [ReplayPolicy; 3] = [
    ReplayPolicy { messages: 100, bytes: usize::MAX, fuel: u64::MAX, adaptive: false },
    ReplayPolicy { messages: 2, bytes: usize::MAX, fuel: u64::MAX, adaptive: true },
    ReplayPolicy { messages: 16, bytes: 1 << 20, fuel: 300_000_000, adaptive: true },
];

#[test]
fn failed_messages_leave_no_trace() {
    let module = module();
    on_evaluation_stack(|| POLICIES.iter().for_each(|policy| fail_in_every_way(&module, *policy))).unwrap();
}

fn fail_in_every_way(module: &Module, policy: ReplayPolicy) {
    let mut aos = Aos::boot(module, policy);
    // What a process would be that never saw the bad messages.
    let mut clean = Aos::boot(module, ReplayPolicy::default());
    for (count, lua) in [
        "N = -1; error('boom')",
        "N = -1; while true do end",
        "N = -1; os.exit(3)",
        "N = -1; local t = {} ; for i = 1, 1e9 do t[i] = {i} end",
        "this is no Lua",
    ]
    .iter()
    .enumerate()
    {
        let next = format!("N = {count}; return N");
        assert_eq!(aos.data(&next), count.to_string());
        assert_eq!(clean.data(&next), count.to_string());
        let failed = aos.eval(lua);
        assert!(!failed.committed);
        match (count, failed.result) {
            (0 | 4, Ok(response)) => assert!(response["Error"].is_string(), "{lua}: {response}"),
            (1 | 3, Err(error)) => assert_eq!(error.kind, EvalErrorKind::OutOfFuel),
            (2, Err(error)) => assert_eq!(error.to_string(), "Program terminated with exit(3)"),
            (_, other) => panic!("{lua}: {other:?}"),
        }
        if count % 2 == 0 {
            assert_eq!(aos.instance.root().unwrap(), clean.instance.root().unwrap(), "after {lua}");
        }
        assert_eq!(aos.instance.memory_bytes(), clean.instance.memory_bytes());
    }
    assert_eq!(aos.data("return N"), "4");
    assert_eq!(clean.data("return N"), "4");
    assert_eq!(aos.instance.root().unwrap(), clean.instance.root().unwrap());
}

#[test]
fn dry_runs_and_snapshots() {
    let module = module();
    on_evaluation_stack(|| {
        let mut aos = Aos::boot(&module, ReplayPolicy::default());
        aos.data("N = 1; return N");
        let root = aos.instance.root().unwrap();
        for lua in
            ["N = 2; return N", "error('x')", "big = string.rep('x', 60000000); return #big", "while true do end"]
        {
            let message = aos.message(lua);
            assert!(!aos.instance.dry_run(&message, &aos.env).committed);
            assert_eq!(aos.instance.root().unwrap(), root, "{lua}");
        }
        let mut copy = Instance::restore(&module, &aos.instance.snapshot().unwrap()).unwrap();
        for lua in
            ["N = N + 1; return N", "big = string.rep('x', 60000000); return #big", "error('x')", "return tostring({})"]
        {
            let message = aos.message(lua);
            assert_eq!(copy.apply(&message, &aos.env), aos.instance.apply(&message, &aos.env), "{lua}");
            assert_eq!(copy.memory_bytes(), aos.instance.memory_bytes());
        }
        assert_eq!(copy.root().unwrap(), aos.instance.root().unwrap());
        // A process that has grown comes back with exactly its size.
        let mut again = Instance::restore(&module, &copy.snapshot().unwrap()).unwrap();
        assert_eq!(again.memory_bytes(), copy.memory_bytes());
        assert_eq!(again.root().unwrap(), copy.root().unwrap());
    })
    .unwrap();
}

#[test]
fn lua_meets_its_own_limits_first() {
    let module = modules::aos(&modules::engine(|_| {}));
    on_evaluation_stack(|| {
        let mut aos = Aos::boot(&module, ReplayPolicy::default());
        let nested = "local n = 0; local function f() n = n + 1; return pcall(f) end; f(); return n";
        assert!(aos.data(nested).parse::<u32>().unwrap() > 150);
        let deep = "local function f() return 1 + f() end; local ok, e = pcall(f); return tostring(e):match('stack overflow')";
        assert_eq!(aos.data(deep), "stack overflow");
        let gsub = "local function f() return string.gsub('a', 'a', f) end; local ok, e = pcall(f); return tostring(e):match('stack overflow')";
        assert_eq!(aos.data(gsub), "stack overflow");
        // What a longjmp leaves is off the stack.
        assert_eq!(aos.data("for i = 1, 50000 do pcall(error, 'x') end return 'alive'"), "alive");
        // The allocation fails, Lua says so, and nothing of it remains.
        let root = aos.instance.root().unwrap();
        let huge = aos.eval("return #string.rep('x', 1 << 30)");
        assert!(!huge.committed, "{huge:?}");
        assert!(huge.result.unwrap().to_string().contains("not enough memory"));
        assert_eq!(aos.instance.root().unwrap(), root);
        // The clock stands still, in UTC.
        assert_eq!(aos.data("return os.date('%Y-%m-%d %H:%M:%S %Z', 951826554) .. ' ' .. os.clock()"), "2000-02-29 12:15:54 UTC 0.0");
    })
    .unwrap();
}
