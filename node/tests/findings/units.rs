//! The scheduler's and the compute unit's rows over a real network: one network, one step a row.

use serde_json::{Value, json};
use weft_protocol::{Id, ans104::ItemBuilder, b64, election::WELL_KNOWN_SCHEDULER, message::WELL_KNOWN_AUTHORITY};

use crate::{
    engine,
    http::Http,
    locator::f01_a_process_s_scheduler_is_found_through_any_node,
    world::{World, user},
};

#[test]
fn scheduler_and_compute_rows_on_a_network_() {
    let world = World::start(3);
    f01_a_process_s_scheduler_is_found_through_any_node(&world);
    r06_a_process_can_be_used_from_the_moment_it_is_spawned(&world);
    f12_dry_run_and_latest_answer_on_a_fresh_process(&world);
    d11_a_process_as_aos_spawns_it_is_at_home(&world);
    f04_a_duplicate_is_answered_with_its_own_result(&world);
    f07_a_result_belongs_to_its_process(&world);
    f08_dry_runs_of_two_processes_and_of_two_states_are_not_mixed_up(&world);
    f09_results_are_there_without_anybody_having_asked_for_one(&world);
    f11_old_results_and_states_stay_readable(&world);
    f15_bytes_targets_and_pages_are_right(&world);
    r08_errors_are_shown_and_a_process_goes_on(&world);
    r10_dry_runs_see_the_newest_state_and_are_bounded(&world);
    engine::f10_errors_of_the_host_arrive_as_text(&world);
    engine::f17_limits_hold_for_every_module(&world);
    engine::r13_limits_of_process_and_module_are_said(&world);
    world.stop();
}

/// The newest state of a counter: what one more Increment would give.
fn next_count(world: &World, process: Id) -> String {
    world.dry_run(process, "Increment", None)["Output"]["data"].as_str().unwrap().to_owned()
}

fn r06_a_process_can_be_used_from_the_moment_it_is_spawned(world: &World) {
    for at in 0..3 {
        let process = world.process(&format!("fresh {at}"));
        // No wait between the spawn's answer and its use, and none of it through the node that took the spawn.
        let message = world.message(process, "Increment", b"1");
        let door = world.net.door((at + 1) % 3);
        assert_eq!(world.http.post(&door, message.raw().to_vec()).status, 202);
        let result = world.result((at + 2) % 3, process, message.id());
        assert_eq!(result["Output"]["data"], "1", "{result}");
    }
}

/// With the scheduler and the authority of AO's public test network built in.
fn d11_a_process_as_aos_spawns_it_is_at_home(world: &World) {
    let tags = [("Name", "aos"), ("Scheduler", WELL_KNOWN_SCHEDULER), ("Authority", WELL_KNOWN_AUTHORITY)];
    let process = world.process_with(&tags);
    let message = world.send(process, "Increment", b"1");
    assert_eq!(world.result(1, process, message.id())["Output"]["data"], "1");
    let view = world.get(2, &format!("/v1/processes/{process}"));
    assert_eq!(view["election"]["committee"]["pinned"], false, "{view}");
    // Somebody else's scheduler is still refused, with what to use instead.
    let stranger = Id::sha256(b"a scheduler elsewhere").to_string();
    let item = ItemBuilder::new()
        .tag("Data-Protocol", "ao")
        .tag("Type", "Process")
        .tag("Module", world.module.to_string())
        .tag("Scheduler", stranger)
        .sign(&user())
        .unwrap();
    let refused = world.http.post(&world.net.door(0), item.raw().to_vec());
    assert!(refused.status == 400 && refused.reason().contains(&world.net.address()), "{}", refused.text());
}

fn f12_dry_run_and_latest_answer_on_a_fresh_process(world: &World) {
    let process = world.process("just spawned");
    assert_eq!(next_count(world, process), "1");
    let latest = world.get(2, &format!("/{process}/latest"));
    assert_eq!(latest["message"]["id"], process.to_string());
    assert_eq!(world.result(1, process, process)["Output"]["data"], "ready");
}

fn f04_a_duplicate_is_answered_with_its_own_result(world: &World) {
    let process = world.process("duplicates");
    let first = world.send(process, "Increment", b"first");
    let second = world.send(process, "Increment", b"second");
    let told = world.post(&first);
    assert_eq!(told["id"], first.id().to_string(), "the same item again is no failure");
    // Not the outbox of the message before it, and no second slot.
    assert_eq!(world.result(0, process, first.id())["Messages"][0]["Data"], "1");
    assert_eq!(world.result(0, process, second.id())["Messages"][0]["Data"], "2");
    assert_eq!(world.log(1, process).len(), 3);
    assert_eq!(next_count(world, process), "3");
}

fn f07_a_result_belongs_to_its_process(world: &World) {
    let (one, other) = (world.process("one"), world.process("other"));
    let message = world.send(one, "Increment", b"1");
    assert_eq!(world.result(0, one, message.id())["Output"]["data"], "1");
    let (status, reason) = world.refused(&format!("/result/{}", message.id()));
    assert!(status == 400 && reason.contains("process-id"), "{status} {reason}");
    let (status, reason) = world.refused(&format!("/result/{}?process-id={other}", message.id()));
    assert!(status == 404 && reason.contains(&other.to_string()), "{status} {reason}");
    // One id in two logs has two results.
    let assigned = world.http.post(&format!("{}/?process-id={other}&assign={}", world.net.door(0), message.id()), []);
    let assigned: Id = assigned.ok().json()["id"].as_str().unwrap().parse().unwrap();
    world.send(other, "Increment", b"later");
    let there = world.result(1, other, message.id());
    assert_eq!(there, world.result(1, other, assigned));
    assert_eq!(there["Output"]["data"], "1", "the counter of the other process, at that message");
    assert_eq!(world.result(1, one, message.id())["Output"]["data"], "1");
}

fn f08_dry_runs_of_two_processes_and_of_two_states_are_not_mixed_up(world: &World) {
    let (one, other) = (world.process("first"), world.process("second"));
    let message = world.send(one, "Increment", b"1");
    assert_eq!((next_count(world, one), next_count(world, other)), ("2".into(), "1".into()), "the same body");
    world.send(one, "Increment", b"2");
    assert_eq!(next_count(world, one), "3", "the same body a moment later");
    assert_eq!(world.dry_run(one, "Increment", Some(message.id()))["Output"]["data"], "2");
}

fn f09_results_are_there_without_anybody_having_asked_for_one(world: &World) {
    let process = world.process("nobody asks");
    for count in 1..=4 {
        world.send(process, "Increment", &[count]);
    }
    let all = world.get(1, &format!("/results/{process}"));
    let edges = all["edges"].as_array().unwrap();
    let outputs: Vec<&Value> = edges.iter().map(|edge| &edge["node"]["Output"]["data"]).collect();
    assert_eq!(outputs, ["ready", "1", "2", "3", "4"], "at the first request, right after the last message");
    let newest = world.get(2, &format!("/results/{process}?sort=DESC&limit=2"));
    let last = newest["edges"][1]["cursor"].as_str().unwrap();
    let older = world.get(2, &format!("/results/{process}?sort=DESC&limit=2&from={last}"));
    let seen: Vec<&Value> = [&newest, &older]
        .iter()
        .flat_map(|page| page["edges"].as_array().unwrap())
        .map(|edge| &edge["node"]["Output"]["data"])
        .collect();
    assert_eq!(seen, ["4", "3", "2", "1"]);
}

fn f11_old_results_and_states_stay_readable(world: &World) {
    let process = world.process("history");
    let sent: Vec<Id> = (0..40).map(|n| world.send(process, "Increment", &[n]).id()).collect();
    assert_eq!(world.result(0, process, sent[39])["Output"]["data"], "40");
    for at in [0, 1, 17, 38] {
        let expected = (at + 1).to_string();
        assert_eq!(world.result(at % 3, process, sent[at])["Output"]["data"], expected, "no 425");
        let after = world.dry_run(process, "Increment", Some(sent[at]));
        assert_eq!(after["Output"]["data"], (at + 2).to_string(), "the state after message {at}");
    }
    assert_eq!(next_count(world, process), "41", "looking back moved nothing");
    let nodes = world.log(0, process);
    let time = |slot: usize| nodes[slot]["cursor"].as_str().unwrap().to_owned();
    let state = |to: String| world.http.get(&format!("{}/state/{process}{to}", world.net.door(2))).ok().body;
    let (now, then) = (state(String::new()), state(format!("?to={}", time(17))));
    assert!(now.len() >= 65_536 && now.len() % 65_536 == 0 && then.len() == now.len(), "{}", now.len());
    assert_ne!(now, then);
    assert_eq!(then, state(format!("?to={}", time(17))), "the same bytes each time");
    assert_eq!(now, state(format!("?to={}", time(40))));
}

fn f15_bytes_targets_and_pages_are_right(world: &World) {
    let process = world.process("bytes");
    let bytes = [0xFF, 0x00, 0xC3, 0x28];
    let message = world.send(process, "Ping", &bytes);
    let node = world.get(0, &format!("/{}?process-id={process}", message.id()));
    assert_eq!(node["message"]["data"], "\u{FFFD}\0\u{FFFD}(");
    assert_eq!(b64::decode(node["message"]["data_base64"].as_str().unwrap()).unwrap(), bytes);
    assert_eq!(world.http.get(&format!("{}/raw/{}", world.net.door(1), message.id())).ok().body, bytes);
    // A message for nobody is told so.
    let nobody = world.message(Id::sha256(b"no process"), "Ping", b"1");
    let refused = world.http.post(&world.net.door(0), nobody.raw().to_vec());
    assert!(refused.status == 404 && refused.reason().contains("no scheduler"), "{}", refused.text());
    // Ten at once still have ten times; a page that is full and the last says so.
    for n in 0..9 {
        world.send(process, "Ping", &[n]);
    }
    let page = world.get(0, &format!("/{process}?process-id={process}&limit=11"));
    assert_eq!(page["page_info"]["has_next_page"], false);
    let times: Vec<u64> =
        page["edges"].as_array().unwrap().iter().map(|e| e["cursor"].as_str().unwrap().parse().unwrap()).collect();
    assert!(times.len() == 11 && times.is_sorted_by(|a, b| a < b), "{times:?}");
}

fn r08_errors_are_shown_and_a_process_goes_on(world: &World) {
    let process = world.process("errors");
    world.send(process, "Increment", b"1");
    let bad = world.send(process, "Nonsense", b"2");
    world.send(process, "Increment", b"3");
    let shown = world.result(0, process, bad.id());
    assert_eq!(shown["Error"], "unknown Action; use Ping, Increment or Forward, not: Nonsense");
    assert_eq!(next_count(world, process), "3");
    let legacy = world.get(0, &format!("/results/{process}"));
    assert_eq!(legacy["edges"].as_array().unwrap().len(), 3, "as AO lists them: without the failed one");
    let all = world.get(0, &format!("/v1/processes/{process}/results"));
    let errors: Vec<&Value> = all["results"].as_array().unwrap().iter().map(|r| &r["result"]["Error"]).collect();
    assert_eq!(errors, [&Value::Null, &Value::Null, &shown["Error"], &Value::Null], "Weft's own list hides none");
}

fn r10_dry_runs_see_the_newest_state_and_are_bounded(world: &World) {
    let process = world.process("dry");
    for n in 0..5 {
        world.send(process, "Increment", &[n]);
        assert_eq!(next_count(world, process), (n + 2).to_string(), "right after the message was taken");
    }
    assert_eq!(world.log(0, process).len(), 6, "a dry run takes no slot");
    let wrong = |body: Value| {
        let answer = world.http.post_json(&format!("{}/dry-run?process-id={process}", world.net.door(0)), &body);
        (answer.status, answer.reason())
    };
    let (status, reason) = wrong(json!({ "Data": "x", "Tags": [{ "name": "Action", "value": 5 }] }));
    assert!(status == 400 && reason.contains("Tags"), "{status} {reason}");
    let unknown = format!("{}/dry-run?process-id={}", world.net.door(0), user().key().address());
    assert_eq!(world.http.post_json(&unknown, &json!({ "Tags": [] })).status, 404);
}

/// A unit that starts again goes on from its own snapshot, and what it has evaluated is read and not evaluated.
#[test]
fn r05_a_restarted_unit_goes_on_from_its_snapshot_on_a_network_() {
    let mut world = World::start(1);
    let process = world.process("long");
    let sent: Vec<Id> = (0..300_u16).map(|n| world.send(process, "Increment", &n.to_be_bytes()).id()).collect();
    assert_eq!(world.result(0, process, sent[299])["Output"]["data"], "300");
    let before = world.get(0, &format!("/v1/processes/{process}/results?limit=1000"));
    world.net.kill_all();
    world.net.resume();
    // The old client's connections ended with the node.
    world.http = Http::new();
    assert_eq!(world.get(0, &format!("/v1/processes/{process}/results?limit=1000")), before, "read as it was signed");
    assert_eq!(world.result(0, process, sent[7])["Output"]["data"], "8");
    assert_eq!(world.replays(), Vec::<String>::new(), "nothing was evaluated to be read");
    // Now the state is needed. The snapshot was taken with the batch that held slot 255, the end of the eighth window of 32.
    assert_eq!(next_count(&world, process), "301");
    let replayed = world.replays();
    let from = |range: &String| range.split(['=', ' ']).nth(1).unwrap().parse::<u64>().unwrap();
    assert!(replayed.len() <= 1 && replayed.iter().all(|range| from(range) >= 256), "{replayed:?}: not all 301");
    let more = world.send(process, "Increment", b"more").id();
    assert_eq!(world.result(0, process, more)["Output"]["data"], "301");
    let early = world.dry_run(process, "Increment", Some(sent[20]));
    assert_eq!(early["Output"]["data"], "22");
    assert_eq!(world.replays().last().unwrap(), "from=0 to=22", "beside the live state");
    assert_eq!(next_count(&world, process), "302");
    world.stop();
}
