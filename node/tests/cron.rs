//! Crons on a real network: ticks are slots like any other, whoever asks and whoever dies. One network, one step after the
//! other; nodes are killed with SIGKILL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/http.rs"]
mod http;
#[path = "support/modules.rs"]
mod modules;
#[path = "support/testnet.rs"]
mod testnet;
#[allow(dead_code, reason = "the findings use the rest")]
#[path = "findings/world.rs"]
mod world;

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use serde_json::Value;
use testnet::eventually;
use weft_node::{
    compute::service::ResultStore,
    scheduler::{LogStore, StoredEntry},
};
use weft_protocol::{
    Id, Network,
    ans104::{DataItem, ItemBuilder, Profile},
    assignment::{Assignment, Draft, Head},
    attestation::Attestation,
    cron::{Class, Moment, Timetable},
};
use world::{World, user};

/// How long one step may take, on a busy machine.
const STEP: Duration = Duration::from_secs(120);
/// Ticks that must come between two steps.
const BETWEEN: usize = 3;

/// A process that has a counter incremented every other second and counts every other block itself.
struct Clock {
    item: DataItem,
    counter: Id,
    network: Network,
}

#[test]
fn crons_go_on_whoever_dies() {
    let mut world = World::start(5);
    let clock = Clock::spawn(&world);
    crons_that_cannot_be_carried_out_are_refused_at_spawn(&world);
    r07_ticks_are_pushed_and_nobody_monitors(&world, &clock);
    only_the_scheduler_makes_ticks(&world, &clock);
    let early = clock.ticks(&world, 0);
    let view = world.get(0, &format!("/v1/processes/{}", clock.id()));
    for role in ["/scheduler/name", "/provider/name", "/messengers/0/name"] {
        clock.survives(&world, role, view.pointer(role).and_then(Value::as_str).unwrap());
    }
    f05_cron_results_do_not_depend_on_when_they_are_asked_for(&world, &clock, &early);
    each_tick_was_pushed_once(&world, &clock);
    world.net.stop();
    clock.log_follows_from_its_tags(world.net.dir());
    two_evaluators_attest_the_same_chain(&world, &clock);
}

/// A process with these tags besides the usual ones.
fn process(world: &World, tags: &[(&str, &str)]) -> DataItem {
    let mut builder = ItemBuilder::new()
        .tag("Data-Protocol", "ao")
        .tag("Variant", "ao.TN.1")
        .tag("Type", "Process")
        .tag("Module", world.module.to_string())
        .tag("Scheduler", world.net.address());
    for (name, value) in tags {
        builder = builder.tag(*name, *value);
    }
    builder.data(b" ".to_vec()).sign(&user()).unwrap()
}

/// Index (from 0) of a node.
fn index(node: &str) -> usize {
    node.strip_prefix("node-").unwrap().parse::<usize>().unwrap() - 1
}

fn tag<'a>(item: &'a Value, name: &str) -> Option<&'a str> {
    let tags = item["tags"].as_array()?;
    tags.iter().find(|tag| tag["name"] == name).and_then(|tag| tag["value"].as_str())
}

impl Clock {
    fn spawn(world: &World) -> Self {
        let counter = world.process("counted");
        let item = process(
            world,
            &[
                ("Cron-Interval", "2-seconds"),
                ("Cron-Tag-Action", "Forward"),
                ("Cron-Tag-To", &counter.to_string()),
                ("Cron-Tag-Forward-Action", "Increment"),
                ("Cron-Interval", "2-blocks"),
                ("Cron-Tag-Action", "Increment"),
            ],
        );
        let network = Network::parse(&fs::read_to_string(world.net.dir().join("network.toml")).unwrap()).unwrap();
        // Refused until a gateway has told the height that blocks count from.
        eventually("the clock is spawned", STEP, || {
            let answer = world.http.post(&world.net.door(0), item.raw().to_vec());
            assert!([202, 503].contains(&answer.status), "{}", answer.text());
            (answer.status == 202).then_some(())
        });
        Self { item, counter, network }
    }

    fn id(&self) -> Id {
        self.item.id()
    }

    /// Edges of `/cron` as node `at` has them.
    fn ticks(&self, world: &World, at: usize) -> Vec<Value> {
        world.get(at, &format!("/cron/{}?limit=1000", self.id()))["edges"].as_array().unwrap().clone()
    }

    /// Waits until node `at` has so many ticks with results.
    fn has(&self, world: &World, at: usize, count: usize) {
        eventually(&format!("{count} ticks with results"), STEP, || {
            let answer = world.http.get(&format!("{}/cron/{}?limit=1000", world.net.door(at), self.id()));
            (answer.status == 200 && answer.json()["edges"].as_array().unwrap().len() >= count).then_some(())
        });
    }

    /// The node that has `role` is killed and comes back: what was there is there, and ticks go on, without the scheduler
    /// after it is back, without anybody else at once.
    fn survives(&self, world: &World, role: &str, node: &str) {
        let alive = (0..world.net.nodes()).find(|at| *at != index(node)).unwrap();
        let (before, log) = (self.ticks(world, alive), world.log(alive, self.id()));
        eprintln!("kill {node} ({role}) at {} ticks", before.len());
        world.net.kill_node(node);
        if !role.contains("scheduler") {
            self.has(world, alive, before.len() + BETWEEN);
        }
        world.net.start_node(node);
        for at in [alive, index(node)] {
            self.has(world, at, before.len() + 2 * BETWEEN);
            assert_eq!(self.ticks(world, at)[..before.len()], before[..], "{node} {role}");
            assert_eq!(world.log(at, self.id())[..log.len()], log[..], "the same ids in the same slots: {node} {role}");
        }
    }

    /// The timetable as the log's first slot makes it.
    fn table(&self, first: &Assignment) -> Timetable {
        Timetable::new(self.network.id(), &self.item, first).unwrap().unwrap()
    }

    /// In the scheduler's journal, every tick is the one that follows from the process's tags, due and next, none left out.
    fn log_follows_from_its_tags(&self, folder: &Path) {
        let names = (1..=5).map(|n| folder.join(format!("node-{n}/data/log")));
        let mut logs = names.map(|folder| LogStore::open(&folder).unwrap());
        let log = logs.find(|log| log.head(&self.id()).unwrap().is_some()).expect("a scheduler");
        let entries = log.page(&self.id(), 0, 1_000).unwrap().entries;
        let read = |wire| StoredEntry::read(wire).unwrap();
        let mut table = self.table(&read(entries[0].clone()).assignment);
        let mut head = Head::empty(self.id());
        let mut last = [0_u64; 2];
        for wire in entries {
            let item = DataItem::parse_verified(wire.item.clone(), Profile::Strict).unwrap();
            let entry = read(wire);
            head.advance(&entry.assignment, entry.assignment_id).unwrap();
            assert_eq!(item.id(), entry.assignment.message);
            if entry.assignment.cron.is_none() {
                continue;
            }
            let tick = table.check(&entry.assignment, &item).unwrap();
            table.follow(&entry.assignment, &tick).unwrap();
            assert_eq!(tick.skipped, 0, "nobody was away for a minute");
            last[usize::from(tick.id.class == Class::Time)] = tick.id.number;
        }
        eprintln!("{} block ticks, {} time ticks", last[0], last[1]);
        assert!(last[0] >= 3 && last[1] >= 15, "{last:?}");
    }
}

fn crons_that_cannot_be_carried_out_are_refused_at_spawn(world: &World) {
    let refused = |tags: &[(&str, &str)]| {
        let item = process(world, tags);
        let answer = world.http.post(&world.net.door(1), item.raw().to_vec());
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert_eq!(world.http.get(&format!("{}/processes/{}", world.net.door(1), item.id())).status, 404);
        answer.reason()
    };
    let reason = refused(&[("Cron-Interval", "5-parsecs")]);
    assert!(reason.contains("tag Cron-Interval = \"5-parsecs\"") && reason.contains("minutes"), "{reason}");
    let reason = refused(&[("Cron-Tag-Action", "Tick"), ("Cron-Interval", "1-minute")]);
    assert!(reason.contains("tag Cron-Tag-Action = \"Tick\""), "{reason}");
    let reason = refused(&[("Cron-Interval", "1-second"), ("Cron-Interval", "1-hour")]);
    assert!(reason.contains("tag Cron-Interval = \"1-hour\"") && reason.contains("one tick a second"), "{reason}");
}

/// R7: nobody has said `/monitor`, and what ticks send arrives.
fn r07_ticks_are_pushed_and_nobody_monitors(world: &World, clock: &Clock) {
    clock.has(world, 0, 1 + BETWEEN);
    let counted = || world.dry_run(clock.counter, "Increment", None)["Output"]["data"].as_str().unwrap().parse::<u64>();
    eventually("ticks are pushed", STEP, || (counted().unwrap() > 2).then_some(()));
    // Monitoring is the owner's word, and changes nothing; twice is no error.
    let word = ItemBuilder::new().target(clock.id()).data(b" ".to_vec()).sign(&user()).unwrap();
    for _ in 0..2 {
        let answer = world.http.post(&format!("{}/monitor/{}", world.net.door(2), clock.id()), word.raw().to_vec());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

/// Ticks can be made by anybody, and ordered by nobody but the scheduler: not as a message, not by assigning one that was put
/// on Arweave.
fn only_the_scheduler_makes_ticks(world: &World, clock: &Clock) {
    let first = &world.log(0, clock.id())[0]["node"]["assignment"];
    let number = |name| tag(first, name).unwrap().parse::<u64>().unwrap();
    let draft = Draft { message: clock.id(), ..Draft::default() };
    let first = Head::empty(clock.id()).next(draft, number("Timestamp"), number("Block-Height"));
    let table = clock.table(&first);
    let later = Moment { timestamp: first.timestamp + 3_600_000, height: first.block_height };
    let tick = table.item(&table.due(later, 2)[1]).unwrap();
    let answer = world.http.post(&world.net.door(1), tick.raw().to_vec());
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(answer.reason().contains("Weft-Cron"), "{}", answer.text());
    world.http.post(&format!("{}/tx", world.net.gateway()), tick.raw().to_vec()).ok();
    let assign = format!("{}/?process-id={}&assign={}", world.net.door(1), clock.id(), tick.id());
    let answer = world.http.post(&assign, []);
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(answer.reason().contains("Weft-Cron"), "{}", answer.text());
}

/// F5: what was asked for early by one node's client is what everybody is told later.
fn f05_cron_results_do_not_depend_on_when_they_are_asked_for(world: &World, clock: &Clock, early: &[Value]) {
    assert!(early.len() > BETWEEN);
    let now = clock.ticks(world, 0);
    for at in 0..world.net.nodes() {
        clock.has(world, at, now.len());
        let there = clock.ticks(world, at);
        assert_eq!(there[..early.len()], *early, "node {at}");
        assert_eq!(there[..now.len()], now[..], "node {at}");
    }
    // The log says of each tick when it was due: all a whole number of intervals after the process's own slot.
    let log = world.log(1, clock.id());
    let origin = |name| tag(&log[0]["node"]["assignment"], name).unwrap().parse::<u64>().unwrap();
    let (time, height) = (origin("Timestamp"), origin("Block-Height"));
    for entry in &log[1..] {
        let node = &entry["node"];
        let text = tag(&node["message"], "Weft-Cron");
        assert_eq!(tag(&node["assignment"], "Weft-Cron"), text);
        // The counter answers the clock: those are messages.
        let Some(text) = text else { continue };
        let part: Vec<&str> = text.split('/').collect();
        let (number, due): (u64, u64) = (part[3].parse().unwrap(), part[4].parse().unwrap());
        let expected = if part[0] == "time" { time + 2_000 * number } else { height + 2 * number };
        assert_eq!(due, expected, "{text}");
    }
    // The same ticks stand among all results.
    let all = world.get(2, &format!("/results/{}?limit=1000", clock.id()));
    let all: BTreeSet<&str> = all["edges"].as_array().unwrap().iter().map(|e| e["cursor"].as_str().unwrap()).collect();
    assert!(now.iter().all(|edge| all.contains(edge["cursor"].as_str().unwrap())));
}

/// Every message that the results of ticks hold is in the counter's log, once.
fn each_tick_was_pushed_once(world: &World, clock: &Clock) {
    let results = world.get(3, &format!("/v1/processes/{}/results?limit=1000", clock.id()));
    let results = results["results"].as_array().unwrap();
    let sends = |result: &&Value| result["result"]["Messages"][0]["Target"] == clock.counter.to_string();
    let wanted: Vec<String> =
        results.iter().filter(sends).map(|result| format!("{}/{}/0/0/0", clock.id(), result["slot"])).collect();
    assert!(wanted.len() > 3 * BETWEEN, "{}", wanted.len());
    let there = eventually("all are delivered", STEP, || {
        let log = world.log(4, clock.counter);
        let cranks: Vec<String> =
            log.iter().filter_map(|e| tag(&e["node"]["assignment"], "Weft-Crank")).map(str::to_owned).collect();
        wanted.iter().all(|crank| cranks.contains(crank)).then_some(cranks)
    });
    assert_eq!(there.len(), there.iter().collect::<BTreeSet<_>>().len(), "a delivery stands twice");
}

/// Whoever evaluated the clock signed the same outcomes and the same chain, slot by slot.
fn two_evaluators_attest_the_same_chain(world: &World, clock: &Clock) {
    let mut chains: Vec<Vec<(Id, Id)>> = Vec::new();
    for n in 1..=world.net.nodes() {
        let store = ResultStore::open(&world.net.dir().join(format!("node-{n}/data/results"))).unwrap();
        let mut chain = Vec::new();
        while let Some(result) = store.result(&clock.id(), chain.len() as u64).unwrap() {
            let item = DataItem::parse_verified(result.attestation, Profile::Strict).unwrap();
            let verdict = Attestation::read(&item).unwrap().verdict;
            chain.push((verdict.outcome, verdict.chain_after));
        }
        if !chain.is_empty() {
            chains.push(chain);
        }
    }
    chains.sort_by_key(Vec::len);
    let longest = chains.last().unwrap();
    assert!(chains.len() >= 2, "the provider was killed: another one evaluated from slot 0");
    for chain in &chains {
        assert!(chain.len() > BETWEEN);
        assert_eq!(chain[..], longest[..chain.len()]);
    }
    eprintln!("{} evaluators, {:?} slots", chains.len(), chains.iter().map(Vec::len).collect::<Vec<_>>());
}
