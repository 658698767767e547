//! What must be true when the dust has settled.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};
use weft_node::{
    messenger::OutcomeStore,
    scheduler::{LogStore, StoredEntry},
};
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    assignment::Head,
    attestation::{Attestation, signer_key},
    keys::NodeKey,
    outcome::{Outcome, chain_next, chain_start},
};

use super::{
    eventually, keys,
    load::{Ack, World},
    testnet::Testnet,
    text,
};

/// How long the network has to come to rest once the last client has gone.
const REST: Duration = Duration::from_secs(180);
/// Entries asked for at once.
const PAGE: u64 = 500;

/// A slot as nodes show it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Slot {
    message: Id,
    action: String,
    crank: Option<String>,
}

/// A process as one node shows it: its log and its results, as text and as read.
#[derive(PartialEq, Eq)]
struct Shown {
    text: Vec<String>,
    slots: Vec<Slot>,
    results: Vec<Value>,
}

/// Checks everything, first over HTTP, then in the folders of the stopped nodes.
pub async fn check(mut net: Testnet, world: World, acks: Vec<Ack>) {
    let processes: Vec<Id> = world.senders.iter().chain(&world.targets).copied().collect();
    let seen = eventually("all messages are evaluated and delivered", REST, async || {
        let seen = shown_by(&world, 0, &processes).await?;
        at_rest(&seen).map(|()| seen)
    })
    .await;
    for door in 1..world.doors.len() {
        eventually("every node tells the same", REST, async || {
            let other = shown_by(&world, door, &processes).await?;
            let differs = processes.iter().find(|process| other[process] != seen[process]);
            differs.map_or(Ok(()), |process| Err(format!("node {door} tells {process} differently")))
        })
        .await;
    }
    for (process, shown) in &seen {
        dense_and_unique(process, shown);
    }
    acknowledged(&seen, &acks);
    delivered_once(&seen);
    counts(&world, &seen).await;
    tokio::task::block_in_place(|| net.stop());
    on_disk(&net, &world, &seen);
}

async fn shown_by(world: &World, door: usize, processes: &[Id]) -> Result<BTreeMap<Id, Shown>, String> {
    let mut all = BTreeMap::new();
    for process in processes {
        let mut shown = Shown { text: Vec::new(), slots: Vec::new(), results: Vec::new() };
        let entries = pages(world, door, process, "log", "entries", &mut shown.text).await?;
        shown.slots = entries.iter().map(slot).collect();
        shown.results = pages(world, door, process, "results", "results", &mut shown.text).await?;
        all.insert(*process, shown);
    }
    Ok(all)
}

/// All pages of a list, in slot order.
async fn pages(
    world: &World,
    door: usize,
    process: &Id,
    what: &str,
    list: &str,
    texts: &mut Vec<String>,
) -> Result<Vec<Value>, String> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let from = all.len() as u64;
        let page = world.text(door, &format!("/v1/processes/{process}/{what}?from={from}&limit={PAGE}")).await?;
        let read: Value = serde_json::from_str(&page).map_err(|e| e.to_string())?;
        let found = read[list].as_array().cloned().unwrap_or_default();
        for one in &found {
            assert_eq!(
                one["slot"].as_u64(),
                Some(all.len() as u64),
                "{what} of {process} has a hole or a repeat: {one}"
            );
            all.push(one.clone());
        }
        texts.push(page);
        if found.is_empty() || read["more"] != json!(true) {
            return Ok(all);
        }
    }
}

fn tag<'a>(item: &'a Value, name: &str) -> Option<&'a str> {
    let tags = item["tags"].as_array()?;
    tags.iter().find(|tag| tag["name"] == name).and_then(|tag| tag["value"].as_str())
}

fn slot(entry: &Value) -> Slot {
    Slot {
        message: text(&entry["message"]["id"]).parse().unwrap(),
        action: tag(&entry["message"], "Action").unwrap_or_default().to_owned(),
        crank: tag(&entry["assignment"], "Weft-Crank").map(str::to_owned),
    }
}

/// Crank ids that the outcomes of all processes imply, by target.
fn implied(seen: &BTreeMap<Id, Shown>) -> BTreeMap<Id, BTreeSet<String>> {
    let mut all: BTreeMap<Id, BTreeSet<String>> = seen.keys().map(|process| (*process, BTreeSet::new())).collect();
    for (process, shown) in seen {
        for result in &shown.results {
            let messages = result["result"]["Messages"].as_array().cloned().unwrap_or_default();
            for (index, message) in messages.iter().enumerate() {
                let target: Id = text(&message["Target"]).parse().unwrap();
                if let Some(cranks) = all.get_mut(&target) {
                    cranks.insert(format!("{process}/{}/0/{index}/0", result["slot"]));
                }
            }
        }
    }
    all
}

/// Crank ids in each log, with repeats.
fn arrived(shown: &Shown) -> Vec<&str> {
    shown.slots.iter().filter_map(|slot| slot.crank.as_deref()).collect()
}

/// Every slot has its result and every implied delivery is there.
fn at_rest(seen: &BTreeMap<Id, Shown>) -> Result<(), String> {
    for (process, shown) in seen {
        if shown.results.len() < shown.slots.len() {
            return Err(format!("{process}: {} of {} slots have results", shown.results.len(), shown.slots.len()));
        }
    }
    for (process, cranks) in implied(seen) {
        let there: BTreeSet<&str> = arrived(&seen[&process]).into_iter().collect();
        if let Some(missing) = cranks.iter().find(|crank| !there.contains(crank.as_str())) {
            return Err(format!("{process} has {} of {} deliveries; {missing} is missing", there.len(), cranks.len()));
        }
    }
    Ok(())
}

fn dense_and_unique(process: &Id, shown: &Shown) {
    // `pages` has checked that slots are dense.
    let ids: BTreeSet<Id> = shown.slots.iter().map(|slot| slot.message).collect();
    assert_eq!(ids.len(), shown.slots.len(), "a message stands twice in the log of {process}");
    assert_eq!(shown.slots[0].message, *process, "slot 0 is the process");
    for (slot, result) in shown.slots.iter().zip(&shown.results) {
        assert_eq!(text(&result["message"]), slot.message.to_string(), "{process}");
        assert!(result["result"].get("Error").is_none(), "{process}: {result}");
    }
}

fn acknowledged(seen: &BTreeMap<Id, Shown>, acks: &[Ack]) {
    for ack in acks {
        let log = &seen[&ack.process].slots;
        let slots: Vec<usize> = (0..log.len()).filter(|slot| log[*slot].message == ack.message).collect();
        assert_eq!(slots, [usize::try_from(ack.slot).unwrap()], "{ack:?}");
    }
    let ordinary = seen.values().flat_map(|shown| &shown.slots[1..]).filter(|slot| slot.crank.is_none()).count();
    assert_eq!(ordinary, acks.len(), "what is in the logs beyond deliveries is what was acknowledged");
}

fn delivered_once(seen: &BTreeMap<Id, Shown>) {
    let mut total = 0;
    for (process, cranks) in implied(seen) {
        let there = arrived(&seen[&process]);
        let different: BTreeSet<String> = there.iter().map(|crank| (*crank).to_owned()).collect();
        assert_eq!(there.len(), different.len(), "a delivery stands twice in the log of {process}");
        assert_eq!(different, cranks, "{process}: what arrived is what the senders' outcomes imply");
        total += there.len();
    }
    eprintln!("{total} deliveries, each once");
}

/// The state of each target is the number of increments in its log.
async fn counts(world: &World, seen: &BTreeMap<Id, Shown>) {
    for target in &world.targets {
        let increments = seen[target].slots.iter().filter(|slot| slot.action == "Increment").count();
        let ask = json!({"Id": "1", "Target": target, "Owner": "me", "Data": "", "Tags": [{"name": "Action", "value": "Increment"}]});
        for door in &world.doors {
            let url = format!("{door}/dry-run?process-id={target}");
            let dry = eventually("a dry run is answered", REST, async || {
                let answer = world.client.post(&url).json(&ask).send().await.map_err(|e| e.to_string())?;
                let (status, body) = (answer.status(), answer.text().await.map_err(|e| e.to_string())?);
                if status.is_success() { Ok(body) } else { Err(format!("{status}: {body}")) }
            })
            .await;
            let dry: Value = serde_json::from_str(&dry).unwrap();
            assert_eq!(dry["Output"]["data"], json!((increments + 1).to_string()), "{target}: {dry}");
        }
    }
}

/// The scheduler's journal and the messengers' journals hold what was shown, and both chains verify from slot 0.
fn on_disk(net: &Testnet, world: &World, seen: &BTreeMap<Id, Shown>) {
    let names = keys(net);
    let folder = |key: &NodeKey, part: &str| net.dir().join(&names[key]).join("data").join(part);
    let address = world.network.address().to_string();
    let mut stores: BTreeMap<NodeKey, OutcomeStore> = BTreeMap::new();
    for (process, shown) in seen {
        let scheduler =
            weft_protocol::election::scheduler_of(&world.network, *process, &address).unwrap().leader().unwrap();
        let log = LogStore::open(&folder(&scheduler, "log")).unwrap();
        let assignments = log_chain(&log, process, &scheduler, shown);
        let mut complete = 0;
        for messenger in weft_protocol::election::messengers_of(&world.network, *process, &scheduler) {
            let store =
                stores.entry(messenger).or_insert_with(|| OutcomeStore::open(&folder(&messenger, "outcomes")).unwrap());
            let evaluated = outcome_chain(store, process, &assignments, shown);
            complete += usize::from(evaluated == shown.slots.len());
        }
        assert!(complete >= 1, "no messenger holds all outcomes of {process}");
    }
}

fn log_chain(log: &LogStore, process: &Id, scheduler: &NodeKey, shown: &Shown) -> Vec<Id> {
    let mut head = Head::empty(*process);
    for (at, slot) in shown.slots.iter().enumerate() {
        let entry = StoredEntry::read(log.entry(process, at as u64).unwrap().unwrap()).unwrap();
        let item = DataItem::parse_verified(entry.wire.assignment.clone(), Profile::Strict).unwrap();
        assert_eq!(signer_key(&item).as_ref(), Some(scheduler));
        assert_eq!(entry.assignment.message, slot.message);
        head.advance(&entry.assignment, entry.assignment_id).unwrap();
    }
    assert_eq!(log.head(process).unwrap().unwrap(), head);
    (0..shown.slots.len() as u64)
        .map(|at| StoredEntry::read(log.entry(process, at).unwrap().unwrap()).unwrap().assignment_id)
        .collect()
}

/// Follows one messenger's outcomes as far as it has them; how many there are.
fn outcome_chain(store: &OutcomeStore, process: &Id, assignments: &[Id], shown: &Shown) -> usize {
    let mut chain = chain_start(process);
    let mut at = 0;
    while let Some(result) = store.outcome(process, at).unwrap() {
        let index = usize::try_from(at).unwrap();
        let item = DataItem::parse_verified(result.attestation.clone(), Profile::Strict).unwrap();
        let attestation = Attestation::read(&item).unwrap();
        let outcome = Outcome::decode(&result.outcome).unwrap();
        assert_eq!((attestation.subject.slot, attestation.subject.assignment), (at, assignments[index]));
        assert_eq!(attestation.verdict.chain_before, chain);
        chain = chain_next(&chain, &assignments[index], &outcome.hash());
        assert_eq!(attestation.verdict.chain_after, chain, "the outcome chain of {process} breaks at slot {at}");
        assert_eq!(shown.results[index]["result"], outcome.to_json(), "slot {at} of {process}");
        at += 1;
    }
    usize::try_from(at).unwrap()
}
