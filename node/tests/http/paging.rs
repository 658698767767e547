//! Pages of the log and of results: bounds, order, cursors, the end.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use weft_protocol::{Id, ans104::Ed25519Signer};

use crate::fake::{Fake, Open, START, action};

/// A process with slots 0 to 9, of which 3 and 4 failed.
async fn ten() -> (Id, Open) {
    let fake = Fake::new();
    let user = Ed25519Signer::from_seed([1; 32]);
    let process = fake.spawn(&user);
    for slot in 1..10_u8 {
        let tags: &[(&str, &str)] = if [3, 4].contains(&slot) { &[("Action", action::FAIL)] } else { &[] };
        fake.send(process, &user, tags, &[b'a' + slot]);
    }
    (process, fake.open().await)
}

fn slots(connection: &Value) -> Vec<u64> {
    let edges = connection["edges"].as_array().unwrap();
    let ordinate = |edge: &Value| {
        let cursor: Value =
            serde_json::from_slice(&STANDARD.decode(edge["cursor"].as_str().unwrap()).unwrap()).unwrap();
        assert_eq!(cursor["cron"], Value::Null);
        let slot: u64 = cursor["ordinate"].as_str().unwrap().parse().unwrap();
        assert_eq!(cursor["timestamp"], START + slot * 1000);
        slot
    };
    edges.iter().map(ordinate).collect()
}

fn more(connection: &Value) -> bool {
    assert_eq!(connection["pageInfo"]["hasNextPage"], connection["page_info"]["has_next_page"]);
    connection["pageInfo"]["hasNextPage"].as_bool().unwrap()
}

#[tokio::test]
async fn results_without_the_failed_ones() {
    let (process, open) = ten().await;
    let all = open.json(&format!("/results/{process}")).await;
    assert_eq!((slots(&all), more(&all)), (vec![0, 1, 2, 5, 6, 7, 8, 9], false));
    let node = all["edges"][1]["node"].as_object().unwrap();
    assert_eq!(node.keys().collect::<Vec<_>>(), ["Messages", "Assignments", "Spawns", "Output"]);
}

#[tokio::test]
async fn ascending_pages_join_without_gap_or_repeat() {
    let (process, open) = ten().await;
    let mut seen = Vec::new();
    let mut from = String::new();
    loop {
        let page = open.json(&format!("/results/{process}?sort=ASC&limit=3{from}")).await;
        seen.extend(slots(&page));
        if !more(&page) {
            break;
        }
        // Unescaped, as some clients send it.
        from = format!("&from={}", page["edges"].as_array().unwrap().last().unwrap()["cursor"].as_str().unwrap());
    }
    assert_eq!(seen, [0, 1, 2, 5, 6, 7, 8, 9]);
}

#[tokio::test]
async fn a_page_that_ends_before_failed_slots_knows_what_follows() {
    let (process, open) = ten().await;
    let page = open.json(&format!("/results/{process}?limit=3")).await;
    assert_eq!((slots(&page), more(&page)), (vec![0, 1, 2], true));
    let page = open.json(&format!("/results/{process}?limit=8")).await;
    assert!(!more(&page));
    // Nothing but failures up to here.
    let to = STANDARD.encode(json!({ "timestamp": START + 4000, "ordinate": "4" }).to_string());
    let page = open.json(&format!("/results/{process}?limit=3&to={to}")).await;
    assert_eq!((slots(&page), more(&page)), (vec![0, 1, 2], false));
}

#[tokio::test]
async fn descending_pages_go_back_with_to_and_forward_with_from() {
    let (process, open) = ten().await;
    let newest = open.json(&format!("/results/{process}?sort=DESC&limit=2")).await;
    assert_eq!((slots(&newest), more(&newest)), (vec![9, 8], true));
    let last = newest["edges"][1]["cursor"].as_str().unwrap();
    let decoded: Value = serde_json::from_slice(&STANDARD.decode(last).unwrap()).unwrap();
    assert_eq!(decoded, json!({ "timestamp": START + 8000, "ordinate": "8", "cron": null, "sort": "DESC" }));
    // `to` includes the cursor's own row, and the cursor's order wins over the client library's ASC.
    let before = open.json(&format!("/results/{process}?sort=ASC&limit=4&to={last}")).await;
    assert_eq!((slots(&before), more(&before)), (vec![8, 7, 6, 5], true));
    // The live feed of the aos shell: newer than the newest it has.
    let newer = open.json(&format!("/results/{process}?from={last}&limit=1000")).await;
    assert_eq!((slots(&newer), more(&newer)), (vec![9], false));
    let first = newest["edges"][0]["cursor"].as_str().unwrap();
    assert_eq!(slots(&open.json(&format!("/results/{process}?from={first}&limit=1000")).await), Vec::<u64>::new());
}

/// What somebody means who asks for `sort=DESC` again with the last cursor of a newest-first page. AO gives the same page
/// again, without its last row.
#[tokio::test]
async fn f09_descending_pages_go_on_with_from() {
    let (process, open) = ten().await;
    let mut seen = Vec::new();
    let mut from = String::new();
    loop {
        let page = open.json(&format!("/results/{process}?sort=DESC&limit=3{from}")).await;
        seen.extend(slots(&page));
        if !more(&page) {
            break;
        }
        from = format!("&from={}", page["edges"].as_array().unwrap().last().unwrap()["cursor"].as_str().unwrap());
    }
    assert_eq!(seen, [9, 8, 7, 6, 5, 2, 1, 0]);
    let cursor = |slot: u64| {
        let value =
            json!({ "timestamp": START + slot * 1000, "ordinate": slot.to_string(), "cron": null, "sort": "DESC" });
        STANDARD.encode(value.to_string())
    };
    let page = async |query: String| slots(&open.json(&format!("/results/{process}?sort=DESC&{query}")).await);
    assert_eq!(page(format!("from={}&to={}", cursor(7), cursor(5))).await, [6, 5], "back to `to`");
    assert_eq!(page(format!("from={}&to={}", cursor(7), START + 6000)).await, [6], "back to a time");
    assert_eq!(page(format!("from={}&to={}", cursor(5), cursor(7))).await, [7, 6], "bounds as AO takes them");
    assert_eq!(page(format!("from={}", cursor(0))).await, Vec::<u64>::new(), "nothing is older than the first");
    assert_eq!(page(format!("from={}", START + 7000)).await, [9, 8, 7], "a bare time stays a lower bound");
}

#[tokio::test]
async fn f09_results_wait_for_what_is_sealed() {
    let fake = Fake::new();
    let process = fake.spawn(&Ed25519Signer::from_seed([1; 32]));
    let open = fake.open().await;
    open.json(&format!("/results/{process}")).await;
    let (slot, wait) = fake.settled().unwrap();
    assert!(slot == u64::MAX && !wait.is_zero(), "{slot} {wait:?}");
    open.json(&format!("/results/{process}?to={START}")).await;
    assert_eq!(fake.settled().unwrap().0, u64::MAX, "nothing is newer, so more may come at that time");
}

#[tokio::test]
async fn bare_times_include_their_own_millisecond() {
    let (process, open) = ten().await;
    let from = START + 6000;
    assert_eq!(slots(&open.json(&format!("/results/{process}?from={from}")).await), [6, 7, 8, 9]);
    assert_eq!(slots(&open.json(&format!("/results/{process}?to={from}")).await), [0, 1, 2, 5, 6]);
    assert_eq!(slots(&open.json(&format!("/results/{process}?from={from}&to={from}")).await), [6]);
    assert_eq!(slots(&open.json(&format!("/results/{process}?to=5")).await), Vec::<u64>::new());
    assert_eq!(slots(&open.json(&format!("/results/{process}?from=0")).await).len(), 8);
    let time_only = STANDARD.encode(json!({ "timestamp": from }).to_string());
    assert_eq!(slots(&open.json(&format!("/results/{process}?from={time_only}")).await), [7, 8, 9]);
}

fn nonces(page: &Value) -> Vec<u64> {
    let nonce = |edge: &Value| {
        let tags = edge["node"]["assignment"]["tags"].as_array().unwrap().clone();
        tags.iter().find(|tag| tag["name"] == "Nonce").unwrap()["value"].as_str().unwrap().parse().unwrap()
    };
    page["edges"].as_array().unwrap().iter().map(nonce).collect()
}

#[tokio::test]
async fn log_pages_by_time_and_by_nonce() {
    let (process, open) = ten().await;
    let base = format!("/{process}?process-id={process}");
    let next = |page: &Value| page["page_info"]["has_next_page"].as_bool().unwrap();
    let first = open.json(&format!("{base}&limit=4")).await;
    assert_eq!((nonces(&first), next(&first)), (vec![0, 1, 2, 3], true));
    let cursor = first["edges"][3]["cursor"].as_str().unwrap();
    let second = open.json(&format!("{base}&limit=4&from={cursor}")).await;
    assert_eq!((nonces(&second), next(&second)), (vec![4, 5, 6, 7], true));
    let bounded = open.json(&format!("{base}&limit=4&from={cursor}&to={}", START + 7000)).await;
    assert_eq!((nonces(&bounded), next(&bounded)), (vec![4, 5, 6, 7], false));
    let rest = open.json(&format!("{base}&limit=2&from={}", START + 7000)).await;
    assert_eq!((nonces(&rest), next(&rest)), (vec![8, 9], false), "exactly full, and nothing follows");
    let by_nonce = open.json(&format!("{base}&from-nonce=6&to-nonce=8")).await;
    assert_eq!((nonces(&by_nonce), next(&by_nonce)), (vec![7, 8], false));
    assert_eq!(by_nonce["edges"][0]["cursor"], "7");
    assert_eq!(nonces(&open.json(&format!("{base}&from-nonce=-1&limit=2")).await), [0, 1]);
    for nothing in ["to-nonce=-1", "to=-1", "to=5", "from-nonce=3&to-nonce=3", "from-nonce=9"] {
        let page = open.json(&format!("{base}&{nothing}")).await;
        assert_eq!((nonces(&page), next(&page)), (vec![], false), "{nothing}");
    }
    assert_eq!(nonces(&open.json(&format!("{base}&to-nonce=0")).await), [0], "no lower bound: the process itself");
    assert_eq!(nonces(&open.json(&format!("{base}&from=-1&limit=1")).await), [0]);
    assert_eq!(nonces(&open.json(&format!("{base}&from={}", START + 60_000)).await), Vec::<u64>::new());
}

#[tokio::test]
async fn long_logs_come_in_long_pages() {
    let fake = Fake::new();
    let user = Ed25519Signer::from_seed([1; 32]);
    let process = fake.spawn(&user);
    for slot in 1..250_u64 {
        fake.send(process, &user, &[], slot.to_string().as_bytes());
    }
    let open = fake.open().await;
    let page = open.json(&format!("/{process}?process-id={process}&limit=1000")).await;
    assert_eq!(nonces(&page), (0..250).collect::<Vec<_>>());
    let default = open.json(&format!("/{process}?process-id={process}")).await;
    assert_eq!((nonces(&default).len(), &default["page_info"]["has_next_page"]), (100, &json!(true)));
}

/// Ticks have pages of their own, and stand among the other results too; their cursors name the cron.
#[tokio::test]
async fn ticks_by_themselves_and_among_the_rest() {
    let fake = Fake::new();
    let user = Ed25519Signer::from_seed([1; 32]);
    let process = fake.spawn(&user);
    for slot in 1..10_u64 {
        let tick = format!("time/1/10-seconds/{slot}/{}", START + slot * 1000);
        let tags: &[(&str, &str)] = match slot {
            2 | 5 | 8 => &[("Weft-Cron", &tick)],
            6 => &[("Weft-Cron", &tick), ("Action", action::FAIL)],
            _ => &[],
        };
        fake.send(process, &user, tags, &[b'a' + slot as u8]);
    }
    let open = fake.open().await;
    let read = |page: &Value| -> Vec<(u64, Value)> {
        let edge = |edge: &Value| {
            let cursor = STANDARD.decode(edge["cursor"].as_str().unwrap()).unwrap();
            let cursor: Value = serde_json::from_slice(&cursor).unwrap();
            (cursor["ordinate"].as_str().unwrap().parse().unwrap(), cursor["cron"].clone())
        };
        page["edges"].as_array().unwrap().iter().map(edge).collect()
    };
    let tick = json!("1-10-seconds");
    let all = open.json(&format!("/cron/{process}")).await;
    assert_eq!(read(&all), [(2, tick.clone()), (5, tick.clone()), (8, tick.clone())]);
    assert!(!more(&all));
    let first = open.json(&format!("/cron/{process}?limit=2")).await;
    assert_eq!((read(&first).len(), more(&first)), (2, true));
    // The cursor as AO's messenger puts it into the URL, unescaped.
    let cursor = first["edges"][1]["cursor"].as_str().unwrap();
    let rest = open.json(&format!("/cron/{process}?from={cursor}&limit=2")).await;
    assert_eq!((read(&rest), more(&rest)), (vec![(8, tick.clone())], false));
    let until = open.json(&format!("/cron/{process}?to={cursor}")).await;
    assert_eq!(read(&until).len(), 2);
    let everything = read(&open.json(&format!("/results/{process}")).await);
    assert_eq!(everything.len(), 9);
    let ticks: Vec<u64> = everything.into_iter().filter(|(_, cron)| *cron == tick).map(|(slot, _)| slot).collect();
    assert_eq!(ticks, [2, 5, 8]);
}

/// Outcomes may be megabytes each: a page ends by their size as well, and the next goes on from its last cursor.
#[tokio::test]
async fn pages_of_large_results_end_early() {
    let fake = Fake::new();
    let user = Ed25519Signer::from_seed([1; 32]);
    let process = fake.spawn(&user);
    for slot in 1..=5_u64 {
        let tick = format!("time/1/10-seconds/{slot}/{}", START + slot * 1000);
        fake.send(process, &user, &[("Weft-Cron", &tick)], &vec![b'a'; 5 << 20]);
    }
    let open = fake.open().await;
    let count = |page: &Value| (page["edges"].as_array().unwrap().len(), more(page));
    for (list, sizes) in [("results", [(4, true), (2, false)]), ("cron", [(3, true), (2, false)])] {
        let first = open.json(&format!("/{list}/{process}?limit=1000")).await;
        assert_eq!(count(&first), sizes[0], "{list}");
        let cursor = first["edges"].as_array().unwrap().last().unwrap()["cursor"].as_str().unwrap();
        let rest = open.json(&format!("/{list}/{process}?limit=1000&from={cursor}")).await;
        assert_eq!(count(&rest), sizes[1], "{list}");
    }
}
