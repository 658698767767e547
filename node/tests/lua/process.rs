//! The message interface: trust, handlers, waiting, failures that leave no trace.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use weft_node::compute::{EvalErrorKind, Instance, Reads, on_evaluation_stack};

use super::*;

#[test]
fn only_the_owner_evaluates_and_only_trusted_processes_speak() {
    let lua = lua();
    on_evaluation_stack(|| {
        let mut process = Process::booted(&lua, &[], " ");
        assert_eq!(process.eval("return Owner"), OWNER);
        process.hear_other("Eval", &[], "Owner = 'me'");
        assert_eq!(process.eval("return Owner .. ' ' .. #Inbox"), format!("{OWNER} 2"));
        // A process's word counts when an authority signed it, and is no word at all else.
        process.eval("Handlers.add('ping', 'Ping', function(m) m.reply({ Data = m.From }) end)");
        let trusted = process.message(PEER, AUTHORITY, &[("Action", "Ping"), ("Reference", "9")], "");
        let answer = process.good(&trusted);
        assert_eq!(answer["Messages"][0]["Target"], PEER);
        assert!(answer.to_string().contains(r#"{"name":"X-Reference","value":"9"}"#), "{answer}");
        let forged = process.message(PEER, OTHER, &[("Action", "Ping")], "");
        let answer = process.good(&forged);
        assert_eq!(answer["Messages"], json!([]));
        assert!(answer["Output"]["data"].as_str().unwrap().starts_with("Message is not trusted!"), "{answer}");
        // A process that claims the owner's name in a tag is not the owner.
        let claiming =
            process.message(PEER, AUTHORITY, &[("Action", "Eval"), ("From", OWNER), ("Owner", OWNER)], "Owner = 'me'");
        process.good(&claiming);
        assert_eq!(process.eval("return Owner"), OWNER);
    })
    .unwrap();
}

#[test]
fn a_process_that_was_spawned_by_another_belongs_to_it() {
    let lua = lua();
    on_evaluation_stack(|| {
        let mut process = Process::new(&lua, &[("From-Process", PEER), ("On-Boot", "Data")]);
        let mut boot = process.boot_message("Greeting = 'hi'; print('booted')");
        boot["From"] = PEER.into();
        boot["Owner"] = AUTHORITY.into();
        assert_eq!(process.good(&boot)["Output"]["data"], "booted");
        let parent = process.message(PEER, AUTHORITY, &[("Action", "Eval")], "return Owner .. Greeting");
        assert_eq!(process.good(&parent)["Output"]["data"], format!("{PEER}hi"));
    })
    .unwrap();
}

#[test]
fn on_boot_that_fails_refuses_the_process_item() {
    let lua = lua();
    on_evaluation_stack(|| {
        for (source, data, says) in [("Data", "error('no')", "no"), (PEER, "", "was not found")] {
            let mut process = Process::new(&lua, &[("On-Boot", source)]);
            let boot = process.boot_message(data);
            let evaluation = process.apply(&boot);
            assert!(!evaluation.committed);
            assert!(evaluation.result.unwrap()["Error"].as_str().unwrap().contains(says));
        }
    })
    .unwrap();
}

#[test]
fn receive_waits_over_messages_and_errors_after_it_are_errors_of_that_message() {
    let lua = lua();
    on_evaluation_stack(|| {
        let mut process = Process::booted(&lua, &[], " ");
        process.eval("Handlers.add('ask', 'Ask', function(m) local a = Send({Target = m.From, Action = 'What?'}).receive(); m.reply({Data = 'so ' .. a.Data}) end)");
        let asked = process.hear_other("Ask", &[("Reference", "5")], "");
        assert_eq!(asked["Messages"][0]["Target"], OTHER);
        let reference = &asked["Messages"][0]["Tags"][3];
        assert_eq!(reference["name"], "Reference");
        process.hear_other("Noise", &[], "");
        // Data that the process cannot use fails the message that brought it; the waiting goes on.
        let number = reference["value"].as_str().unwrap().to_owned();
        let bad = process.message(OTHER, OTHER, &[("X-Reference", &number), ("Content-Type", "application/json")], "{}");
        assert!(!process.apply(&bad).committed);
        let answer = process.hear_other("Answer", &[("X-Reference", &number)], "that");
        assert_eq!(answer["Messages"][0]["Data"], "so that");
        assert!(answer.to_string().contains(r#"{"name":"X-Reference","value":"5"}"#), "{answer}");
        assert_eq!(process.eval("return #Handlers.list .. ' ' .. #Handlers.coroutines"), "3 0");
    })
    .unwrap();
}

#[test]
fn failures_leave_no_trace() {
    let lua = lua();
    on_evaluation_stack(|| {
        let (mut process, mut clean) = (Process::booted(&lua, &[], " "), Process::booted(&lua, &[], " "));
        for (count, (code, kind)) in [
            ("N = -1; error('boom')", None),
            ("this is no Lua", None),
            ("N = -1; while true do end", Some(EvalErrorKind::OutOfFuel)),
            ("N = -1; os.exit(3)", Some(EvalErrorKind::Exit)),
            ("N = -1; local t = {} for i = 1, 1e9 do t[i] = {i} end", Some(EvalErrorKind::OutOfFuel)),
            ("N = -1; return ('x'):rep(1 << 30)", None),
            ("N = -1; error({ code = 5 })", None),
        ]
        .into_iter()
        .enumerate()
        {
            for process in [&mut process, &mut clean] {
                assert_eq!(process.eval(&format!("N = {count}; return N")), count.to_string());
            }
            let message = process.message(OWNER, OWNER, &[("Action", "Eval")], code);
            let failed = process.apply(&message);
            clean.nonce += 1;
            assert!(!failed.committed, "{code}: {failed:?}");
            match (kind, failed.result) {
                (None, Ok(response)) => assert!(response["Error"].is_string(), "{code}: {response}"),
                (Some(kind), Err(error)) => assert_eq!(error.kind, kind, "{code}"),
                (_, other) => panic!("{code}: {other:?}"),
            }
            assert_eq!(process.instance.root().unwrap(), clean.instance.root().unwrap(), "after {code}");
        }
    })
    .unwrap();
}

#[test]
fn depth_ends_in_an_error_that_lua_can_catch() {
    let lua = modules::engine(|_| {}).load(WASM, "wasm32-unknown-emscripten4".parse().unwrap()).unwrap();
    on_evaluation_stack(|| {
        let mut process = Process::booted(&lua, &[], " ");
        let nested = "local n = 0; local function f() n = n + 1; return pcall(f) end; f(); return n";
        assert!(process.eval(nested).parse::<u32>().unwrap() > 150);
        for deep in [
            "local function f() return 1 + f() end; return select(2, pcall(f)) .. ''",
            "local function f() return string.gsub('a', 'a', f) end; local _, e = pcall(f); return tostring(e)",
            "local t = {} for i = 1, 300 do t = {t} end; local _, e = pcall(require('json').encode, t); return e",
            "local _, e = pcall(require('json').decode, ('['):rep(100000)); return e",
            "return tostring(select(2, load('return ' .. ('('):rep(100000))))",
        ] {
            let said = process.eval(deep);
            assert!(
                ["overflow", "nested", "levels", "circular"].iter().any(|word| said.contains(word)),
                "{deep}: {said}"
            );
        }
    })
    .unwrap();
}

#[test]
fn a_snapshot_goes_on_as_the_process_would() {
    let lua = lua();
    on_evaluation_stack(|| {
        let mut process = Process::booted(&lua, &[], " ");
        process.eval("T = {} for i = 1, 1000 do T[i] = ('x'):rep(i) end; Waiting = 0");
        process.eval("Handlers.add('w', 'W', function(m) local a = Receive('V'); Waiting = Waiting + #a.Data end)");
        process.hear_other("W", &[], "");
        let mut copy = Instance::restore(&lua, &process.instance.snapshot().unwrap()).unwrap();
        for (action, data) in [("V", "four"), ("W", ""), ("V", "sixsix"), ("Eval", "")] {
            let message = process.message(OTHER, OTHER, &[("Action", action)], data);
            assert_eq!(copy.apply(&message.to_string(), &process.env), process.apply(&message));
        }
        assert_eq!(copy.root().unwrap(), process.instance.root().unwrap());
        assert_eq!(process.eval("return Waiting"), "10");
    })
    .unwrap();
}

#[test]
fn the_time_is_the_logs_and_chance_is_the_same_everywhere() {
    let lua = lua();
    on_evaluation_stack(|| {
        let draw = "return os.time() .. os.date('!%F', os.time() // 1000) .. os.clock() .. ' ' .. math.random(1, 1 << 40) .. ' ' .. math.random()";
        let first = Process::booted(&lua, &[], " ").eval(draw);
        assert!(first.starts_with("17356896010002025-01-010.0 "), "{first}");
        assert_eq!(Process::booted(&lua, &[], " ").eval(draw), first);
        // A process with another first message draws other numbers.
        let mut other = Process::new(&lua, &[]);
        let mut boot = other.boot_message(" ");
        boot["Block-Height"] = 7.into();
        other.good(&boot);
        assert_ne!(other.eval(draw), first);
        let spread = "local seen, n = {}, 0 for i = 1, 600 do local v = math.random(6); if not seen[v] then seen[v] = 0; n = n + 1 end seen[v] = seen[v] + 1 end for v = 1, 6 do assert(seen[v] > 50) end return n";
        assert_eq!(other.eval(spread), "6");
    })
    .unwrap();
}

#[test]
fn cron_ticks_and_dry_runs() {
    let lua = lua();
    on_evaluation_stack(|| {
        let mut process = Process::booted(&lua, &[], " ");
        process.eval("Ticks = 0; Handlers.add('tick', function(m) return m.Cron end, function(m) Ticks = Ticks + 1; print('tick ' .. m.Timestamp) end)");
        let mut tick = process.message(OWNER, OWNER, &[("Action", "Cron")], "");
        tick["Cron"] = true.into();
        assert_eq!(process.good(&tick)["Output"]["data"], format!("tick {}", tick["Timestamp"]));
        // Nobody makes a tick with a tag.
        process.hear_other("Cron", &[("Cron", "true")], "");
        let mut dry = process.message(OTHER, OTHER, &[("Action", "Cron")], "");
        dry["Cron"] = true.into();
        let root = process.instance.root().unwrap();
        let env = process.env.clone();
        assert!(process.instance.dry_run(&dry.to_string(), &env).result.is_ok());
        assert_eq!(process.instance.root().unwrap(), root);
        assert_eq!(process.eval("return Ticks"), "1");
    })
    .unwrap();
}

#[test]
fn messages_and_environments_of_any_form_end() {
    let lua = lua();
    on_evaluation_stack(|| {
        let mut process = Process::booted(&lua, &[], " ");
        let deep = "[".repeat(1000);
        for message in [
            "",
            "{",
            "[]",
            "null",
            "5",
            "\"x\"",
            "{\"Tags\":5}",
            "{\"Tags\":[5]}",
            "{\"Tags\":[{}]}",
            "{\"a\":tru}",
            "{\"a\":\"\\u12\"}",
            "{\"a\":1e}",
            deep.as_str(),
        ] {
            let (env, root) = (process.env.clone(), process.instance.root().unwrap());
            let evaluation = process.instance.apply(message, &env);
            if !evaluation.committed {
                assert_eq!(process.instance.root().unwrap(), root, "{message}");
            }
            assert!(
                !matches!(&evaluation.result, Err(e) if e.kind == EvalErrorKind::NodeFault),
                "{message}: {evaluation:?}"
            );
        }
        let large = process.message(OTHER, OTHER, &[("Action", "Large")], &"x".repeat(4 << 20));
        process.good(&large);
        assert_eq!(process.eval("return #Inbox[#Inbox].Data"), (4 << 20).to_string());
    })
    .unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Whatever is said to a process, two nodes come to the same state.
    #[test]
    fn two_nodes_come_to_the_same_state(steps in proptest::collection::vec((0..5_u8, ".{0,30}"), 1..12)) {
        let lua = lua();
        on_evaluation_stack(|| {
            let mut nodes = [Process::booted(&lua, &[], CHAT), Process::booted(&lua, &[], CHAT)];
            for (kind, text) in &steps {
                let answers: Vec<_> = nodes.iter_mut().map(|node| {
                    let message = match kind {
                        0 => node.message(OWNER, OWNER, &[("Action", "Eval")], text),
                        1 => node.message(OTHER, OTHER, &[("Action", "Register")], text),
                        2 => node.message(OTHER, OTHER, &[("Action", "Broadcast"), ("X-Tag", text)], text),
                        3 => node.message(PEER, AUTHORITY, &[("Action", text)], text),
                        _ => node.message(OWNER, OWNER, &[("Action", "Eval")], &format!("S = (S or '') .. {text:?}; return S")),
                    };
                    node.apply(&message)
                }).collect();
                assert_eq!(answers[0], answers[1]);
            }
            let [one, two] = &mut nodes;
            assert_eq!(one.instance.root().unwrap(), two.instance.root().unwrap());
        }).unwrap();
    }
}

const CHAT: &str = include_str!("../../../examples/lua/blueprints/chat.lua");

#[test]
fn binary_data_arrives_and_leaves_whole() {
    let lua = lua();
    on_evaluation_stack(|| {
        let mut process = Process::booted(&lua, &[], " ");
        process.eval("Handlers.add('echo', 'Echo', function(m) m.reply({ Data = m.Data }) end)");
        let mut message = process.message(OTHER, OTHER, &[("Action", "Echo")], "\u{fffd}\u{fffd}bin");
        message["Data-Base64"] = "__5iaW4".into();
        let answer = process.good(&message);
        assert_eq!(answer["Messages"][0]["Data-Base64"], "__5iaW4", "{answer}");
        let text = process.hear_other("Echo", &[], "héllo 世界 😀");
        assert_eq!(text["Messages"][0]["Data"], "héllo 世界 😀");
        assert_eq!(text["Messages"][0].get("Data-Base64"), None::<&Value>);
    })
    .unwrap();
}

#[test]
fn what_the_log_carries_can_be_read_in_its_slot_and_only_there() {
    let lua = lua();
    on_evaluation_stack(|| {
        let path = |id: &str| format!("/data/{id}");
        let boot_code = "print('from the data item'); Booted = true";
        let large = (0..40_000_u32).map(|n| (n % 251) as u8).collect::<Vec<u8>>();
        let reads = |content: &[u8]| Arc::new(Reads::new([(path(PEER), Bytes::copy_from_slice(content))]));
        let mut process = Process::new(&lua, &[("On-Boot", PEER)]);
        let boot = process.boot_message(" ").to_string();
        let env = process.env.clone();
        let booted = process.instance.apply_reading(&boot, &env, &reads(boot_code.as_bytes()));
        assert_eq!(booted.result.unwrap()["Output"]["data"], "from the data item");
        let code = format!(
            "local f = io.open('/data/{PEER}'); local size = f:seek('end'); local s = f:read('a'); f:close() return size .. ' ' .. #s .. ' ' .. require('.crypto').digest.sha2_256(s).asHex()"
        );
        let message = process.message(OWNER, OWNER, &[("Action", "Eval")], &code).to_string();
        let read = process.instance.apply_reading(&message, &env, &reads(&large));
        let hash: String = weft_protocol::Id::sha256(&large).as_bytes().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(read.result.unwrap()["Output"]["data"], format!("40000 40000 {hash}"));
        assert_eq!(process.eval(&format!("return tostring(Booted) .. tostring(io.open('/data/{PEER}'))")), "truenil");
        assert!(process.error(&format!("return io.open('/data/{PEER}')")).contains("No such file"));
        assert!(process.error("return io.open('x', 'w')").contains("Read-only"));
    })
    .unwrap();
}
