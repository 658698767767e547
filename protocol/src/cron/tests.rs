#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    ans104::Signer,
    assignment::{Draft, Head},
};

const ORIGIN: Moment = Moment { timestamp: 1_735_689_600_250, height: 1_600_000 };

fn tags(list: &[(&str, &str)]) -> Vec<Tag> {
    list.iter().map(|(name, value)| Tag::new(*name, *value)).collect()
}

fn spawn(list: &[(&str, &str)]) -> DataItem {
    let builder = ItemBuilder::new().tag("Type", "Process").tag("Module", Id::sha256(b"module").to_string());
    builder.tags(tags(list)).sign(&Ed25519Signer::from_seed([3; 32])).unwrap()
}

/// The log of `process` so far: its own assignment at the origin.
fn log(process: &DataItem) -> (Head, Assignment) {
    let head = Head::empty(process.id());
    let first = head.next(Draft { message: process.id(), ..Draft::default() }, ORIGIN.timestamp, ORIGIN.height);
    (Head { next_slot: 1, timestamp: first.timestamp, ..head }, first)
}

fn table(process: &DataItem) -> Timetable {
    Timetable::new(Id::sha256(b"network"), process, &log(process).1).unwrap().unwrap()
}

fn at(ms: u64, blocks: u64) -> Moment {
    Moment { timestamp: ORIGIN.timestamp + ms, height: ORIGIN.height + blocks }
}

fn texts(ticks: &[Tick]) -> Vec<String> {
    ticks.iter().map(|tick| tick.id.to_string()).collect()
}

fn reason(list: &[(&str, &str)]) -> String {
    read(&tags(list)).unwrap_err().to_string()
}

#[test]
fn tags_are_read_in_their_order() {
    let crons = read(&tags(&[
        ("Name", "clock"),
        ("Cron-Interval", "10-seconds"),
        ("Cron-Tag-Action", "Tick"),
        ("Cron-Interval", "2-Blocks"),
        ("Cron-Interval", "1-hour"),
        ("Cron-Tag-Action", "Tock"),
        ("Cron-Tag-Note", ""),
        ("Cron-Tag-Type", "Spam"),
    ]))
    .unwrap();
    let shown: Vec<_> = crons.iter().map(|c| (c.class, c.index, c.every, c.tags.clone())).collect();
    let expected = [
        (Class::Time, 0, 10_000, tags(&[("Action", "Tick")])),
        (Class::Block, 0, 2, tags(&[])),
        (Class::Time, 1, 3_600_000, tags(&[("Action", "Tock"), ("Note", "")])),
    ];
    assert_eq!(shown, expected);
    assert_eq!(crons[1].interval, "2-Blocks", "as written");
    assert_eq!(read(&tags(&[("Name", "no clock")])).unwrap(), []);
}

#[test]
fn intervals_are_those_of_ao() {
    let good = [
        ("1-second", 1_000),
        ("1500-ms", 1_000),
        ("5-MINUTES", 300_000),
        ("2-h", 7_200_000),
        ("1-day", 86_400_000),
        ("1-week", 604_800_000),
        ("1-year", 31_557_600_000),
    ];
    for (text, every) in good {
        assert_eq!(read(&tags(&[("Cron-Interval", text)])).unwrap()[0].every, every, "{text}");
    }
    let bad = [
        ("", "a whole number, a dash"),
        ("10 seconds", "a whole number, a dash"),
        ("ten-seconds", "no whole number"),
        ("-5-minutes", "no whole number"),
        ("1.5-hours", "no whole number"),
        ("3-months", "\"months\" is no unit"),
        ("0-seconds", "the shortest interval is 1-second"),
        ("999-ms", "the shortest interval is 1-second"),
        ("0-blocks", "1 to 1000000000 blocks"),
        ("101-years", "the longest interval is 100-years"),
        ("18446744073709551615-years", "the longest interval is 100-years"),
        ("18446744073709551616-s", "too large"),
        ("000000000000000000000000000000001-s", "characters"),
    ];
    for (text, why) in bad {
        let said = reason(&[("Cron-Interval", text)]);
        assert!(said.contains(why) && said.contains("tag Cron-Interval"), "{text}: {said}");
    }
}

#[test]
fn what_cannot_be_carried_out_is_refused_with_its_tag() {
    assert!(reason(&[("Cron-Tag-Action", "Tick")]).contains("tag Cron-Tag-Action = \"Tick\": it stands before any"));
    let one = ("Cron-Interval", "1-second");
    assert!(reason(&[one, ("Cron-Tag-", "x")]).contains("without a name"));
    assert!(reason(&[one, ("Cron-Tag-Weft-Crank", "x")]).contains("belong to the network"));
    assert!(reason(&[one, ("Cron-Tag-Long", &"x".repeat(4_000))]).contains("its message cannot be made"));
    let many = vec![("Cron-Interval", "16-seconds"); MAX_CRONS + 1];
    assert!(reason(&many).contains("16 crons"));
    assert_eq!(read(&tags(&many[1..])).unwrap().len(), MAX_CRONS);
}

#[test]
fn a_process_ticks_once_a_second_at_most_all_its_crons_together() {
    let read_all = |list: &[&str]| {
        let list: Vec<(&str, &str)> = list.iter().map(|text| (INTERVAL_TAG, *text)).collect();
        read(&tags(&list))
    };
    for good in [&["1-second"][..], &["3-s", "3-s", "3-s"], &["2-s", "3-s", "6-s"], &["7-s"; 7], &["1-block"; 16]] {
        assert!(read_all(good).is_ok(), "{good:?}");
    }
    for (bad, named) in [
        (&["1-second", "100-years"][..], "100-years"),
        (&["1-second", "1000000000-blocks"], "1000000000-blocks"),
        (&["2-s", "3-s", "5-s", "1-hour"], "5-s"),
        (&["41-s", "2-s", "2-s"], "2-s"),
    ] {
        let said = read_all(bad).unwrap_err().to_string();
        assert!(said.starts_with(&format!("tag Cron-Interval = \"{named}\"")), "{said}");
        assert!(said.contains("one tick a second together") && said.contains("longer intervals"), "{said}");
    }
    let once = read_all(&["1-second"]).unwrap();
    assert_eq!(rate(&once), Rate::PROCESS);
    assert_eq!((0..64).map(|_| rate(&once)).sum::<Rate>(), Rate::SCHEDULER);
    assert_eq!(Rate::SCHEDULER.minus(rate(&once)).plus(rate(&once)), Rate::SCHEDULER);
    assert!(rate(&read_all(&["100-years"]).unwrap()) > Rate::default(), "nothing is for nothing");
}

/// The cron process of AO's captured unit, with the phase it had before a message shifted it there.
#[test]
fn ticks_keep_the_phase_of_the_origin() {
    let process = spawn(&[("Cron-Interval", "10-seconds"), ("Cron-Interval", "2-blocks")]);
    let mut table = table(&process);
    let origin = ORIGIN.timestamp;
    assert_eq!(table.next(), Next { timestamp: Some(origin + 10_000), height: Some(1_600_002) });
    assert_eq!(texts(&table.due(at(9_999, 1), 10)), [] as [&str; 0]);
    let due = table.due(at(35_500, 2), 10);
    let expected = [
        "block/0/2-blocks/1/1600002".to_owned(),
        format!("time/0/10-seconds/1/{}", origin + 10_000),
        format!("time/0/10-seconds/2/{}", origin + 20_000),
        format!("time/0/10-seconds/3/{}", origin + 30_000),
    ];
    assert_eq!(texts(&due), expected);
    assert_eq!(texts(&table.due(at(35_500, 2), 2)), expected[..2]);
    for tick in &due {
        table.set_last(tick.id.class, tick.id.index, tick.id.number);
    }
    assert_eq!(table.next(), Next { timestamp: Some(origin + 40_000), height: Some(1_600_004) });
    // A clock or a gateway that steps back asks for nothing twice.
    assert_eq!(table.due(at(0, 0), 10), []);
}

/// The cron process of AO's captured compute unit, its clock and its blocks, second by second. The same ticks come, but for
/// what node/docs/ao.md argues as D8: there a message at +35.750 moves the phase, and the block at +55 is forgotten.
#[test]
fn f05_the_captured_crons_of_ao_differ_only_as_d8_says() {
    let origin = Moment { timestamp: 1_735_690_000_250, height: 1_600_000 };
    let blocks = [
        (1_600_001, 1_735_690_015),
        (1_600_002, 1_735_690_025),
        (1_600_003, 1_735_690_045),
        (1_600_004, 1_735_690_055),
    ];
    // Timestamp and cron, as the cursors of `/cron` there have them.
    let captured = [
        (1_735_690_010_250, "0-10-seconds"),
        (1_735_690_020_250, "0-10-seconds"),
        (1_735_690_025_000, "0-2-blocks"),
        (1_735_690_030_250, "0-10-seconds"),
        (1_735_690_040_750, "0-10-seconds"),
        (1_735_690_050_750, "0-10-seconds"),
        (1_735_690_060_750, "0-10-seconds"),
    ];
    let process = spawn(&[("Cron-Interval", "10-seconds"), ("Cron-Interval", "2-blocks")]);
    let head = Head::empty(process.id());
    let first = head.next(Draft { message: process.id(), ..Draft::default() }, origin.timestamp, origin.height);
    let mut table = Timetable::new(Id::sha256(b"network"), &process, &first).unwrap().unwrap();
    let mut ours = Vec::new();
    for timestamp in (origin.timestamp..1_735_690_061_000).step_by(250) {
        let newest = blocks.iter().rfind(|(_, seconds)| seconds * 1_000 <= timestamp);
        let height = newest.map_or(origin.height, |(height, _)| *height);
        for tick in table.due(Moment { timestamp, height }, 10) {
            table.set_last(tick.id.class, tick.id.index, tick.id.number);
            ours.push((timestamp, tick.id.cron()));
        }
    }
    let d8_phase = |at: u64| if at > 1_735_690_035_750 { at - 500 } else { at };
    let mut expected: Vec<(u64, String)> =
        captured.iter().map(|(at, cron)| (d8_phase(*at), (*cron).to_owned())).collect();
    let d8_forgotten = (1_735_690_055_000, "0-2-blocks".to_owned());
    expected.insert(6, d8_forgotten);
    assert_eq!(ours, expected);
}

#[test]
fn finer_crons_come_first() {
    let process = spawn(&[("Cron-Interval", "8-seconds"), ("Cron-Interval", "4-seconds"), ("Cron-Interval", "4-s")]);
    let due = table(&process).due(at(8_000, 0), 10);
    let order: Vec<(u32, u64)> = due.iter().map(|tick| (tick.id.index, tick.id.number)).collect();
    assert_eq!(order, [(1, 1), (2, 1), (1, 2), (2, 2), (0, 1)]);
}

#[test]
fn after_a_long_pause_the_newest_are_made_up_for_and_the_rest_is_counted() {
    let process = spawn(&[("Cron-Interval", "1-second")]);
    let mut table = table(&process);
    table.set_last(Class::Time, 0, 5);
    let due = table.due(at(100_000, 0), 1_000);
    assert_eq!((due.len(), due[0].id.number, due[0].skipped), (64, 37, 31));
    assert!(due[1..].iter().all(|tick| tick.skipped == 0));
    assert_eq!(due[63].id.number, 100);
    let item = table.item(&due[0]).unwrap();
    assert_eq!(item.tag(SKIPPED_TAG), Some("31"));
    assert_eq!(claims_tick(&item), Some(CRON_TAG));
    assert_eq!(table.item(&due[1]).unwrap().tag(SKIPPED_TAG), None);
}

#[test]
fn a_tick_is_an_item_of_the_process_alone() {
    let process = spawn(&[("Cron-Interval", "1-second"), ("Cron-Tag-Action", "Tick")]);
    let table = table(&process);
    let tick = table.due(at(1_000, 0), 1).remove(0);
    let item = table.item(&tick).unwrap();
    item.verify().unwrap();
    assert_eq!(item.target(), Some(process.id()));
    let shown: Vec<(&str, &str)> = item.tags().iter().map(|t| (t.name.as_str(), t.value.as_str())).collect();
    let text = tick.id.to_string();
    let expected = [
        ("Action", "Tick"),
        ("Data-Protocol", "ao"),
        ("Type", "Message"),
        ("Variant", "ao.TN.1"),
        ("Weft-Cron", text.as_str()),
    ];
    assert_eq!(shown, expected);
    assert_eq!(table.clone().item(&tick).unwrap().raw(), item.raw(), "the same whoever makes it");
    let mut other = table;
    other.network = Id::sha256(b"other network");
    assert_ne!(other.item(&tick).unwrap().id(), item.id());
}

#[test]
fn a_slot_that_claims_to_be_a_tick_and_is_none_is_refused() {
    let process = spawn(&[("Cron-Interval", "10-seconds"), ("Cron-Tag-Action", "Tick"), ("Cron-Interval", "1-block")]);
    let table = table(&process);
    let (head, _) = log(&process);
    let tick = table.due(at(10_000, 0), 1).remove(0);
    let item = table.item(&tick).unwrap();
    let slot = |cron: &str, now: Moment| {
        let draft = Draft { message: item.id(), cron: Some(cron.to_owned()), ..Draft::default() };
        head.next(draft, now.timestamp, now.height)
    };
    let text = tick.id.to_string();
    let good = slot(&text, at(10_000, 0));
    assert_eq!(table.check(&good, &item).unwrap(), tick);
    let why = |assignment: &Assignment, item: &DataItem| table.check(assignment, item).unwrap_err().to_string();
    assert!(why(&slot(&text, at(9_999, 50)), &item).contains("not due yet"));
    assert!(
        why(&slot(&text.replace("10-seconds", "1-seconds"), at(10_000, 0)), &item).contains("interval or due time")
    );
    assert!(why(&slot(&text.replace("time/0", "time/1"), at(10_000, 0)), &item).contains("no such cron"));
    assert!(why(&slot(&text.replace("/1/", "/2/"), at(90_000, 0)), &item).contains("interval or due time"));
    assert!(why(&slot(&text.replace("/1/", "/01/"), at(10_000, 0)), &item).contains("interval or due time"));
    assert!(why(&slot("time/0", at(10_000, 0)), &item).contains("not a tick's name"));

    let tags = |extra: &[(&str, &str)]| ItemBuilder::new().target(process.id()).tags(tags(extra)).data(b" ".to_vec());
    let key = signer(&table.network, &process.id(), &table.crons[0].0, 1);
    let made = [("Data-Protocol", "ao"), ("Type", "Message"), ("Variant", "ao.TN.1"), (CRON_TAG, text.as_str())];
    let mut full = vec![("Action", "Tick")];
    full.extend(made);
    let by = |tags: ItemBuilder, key: &dyn Signer| tags.sign(key).unwrap();
    assert_eq!(table.check(&good, &by(tags(&full), &key)).unwrap(), tick, "anyone can make the same item");
    assert!(why(&good, &by(tags(&made), &key)).contains("not the one that follows"));
    assert!(why(&good, &by(tags(&full), &Ed25519Signer::from_seed([9; 32]))).contains("not the one that follows"));
    full.push((SKIPPED_TAG, "1"));
    assert!(why(&good, &by(tags(&full), &key)).contains("leaves out ticks"));
    // Skipped, but within the time that must be made up for.
    let mut tick2 = tick.clone();
    (tick2.id, tick2.skipped) = (table.crons[0].0.id(ORIGIN, 2), 1);
    let early = slot(&tick2.id.to_string(), at(640_000, 0));
    assert!(why(&early, &table.item(&tick2).unwrap()).contains("leaves out ticks"));
    let late = slot(&tick2.id.to_string(), at(650_000, 0));
    assert_eq!(table.check(&late, &table.item(&tick2).unwrap()).unwrap(), tick2);
}

#[test]
fn ticks_of_a_cron_follow_each_other() {
    let process = spawn(&[("Cron-Interval", "1-second")]);
    let mut table = table(&process);
    let assignment = log(&process).1;
    let tick = |number, skipped| Tick { id: table.crons[0].0.id(ORIGIN, number), skipped };
    let (one, two, four, skipping) = (tick(1, 0), tick(2, 0), tick(4, 0), tick(4, 1));
    assert!(table.follow(&assignment, &two).is_err());
    table.follow(&assignment, &one).unwrap();
    assert!(table.follow(&assignment, &one).is_err(), "twice");
    table.follow(&assignment, &two).unwrap();
    assert!(table.follow(&assignment, &four).unwrap_err().to_string().contains("tick 3 of its cron is the next one"));
    table.follow(&assignment, &skipping).unwrap();
}

fn intervals() -> impl Strategy<Value = String> {
    let unit = prop_oneof![Just("seconds"), Just("blocks"), Just("minutes"), Just("s")];
    (4..40_u64, unit).prop_map(|(n, unit)| format!("{n}-{unit}"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn any_tags_are_read_or_refused(list in prop::collection::vec(
        (prop_oneof![Just("Cron-Interval".to_owned()), "Cron-Tag-[A-Z]{0,3}", "\\PC{0,8}"], "[0-9]{0,22}-?\\PC{0,12}"), 0..20)
    ) {
        let tags: Vec<Tag> = list.into_iter().map(|(name, value)| Tag::new(name, value)).collect();
        if let Ok(crons) = read(&tags) {
            prop_assert_eq!(crons.len(), tags.iter().filter(|t| t.name == INTERVAL_TAG).count());
        }
    }

    /// However often and whenever somebody looks, the same ticks come, each once, in order; every one passes the check of
    /// whoever evaluates; and after a pause all that is missing is counted.
    #[test]
    fn ticks_do_not_depend_on_when_somebody_looks(
        crons in prop::collection::vec(intervals(), 1..5),
        looks in prop::collection::vec((0..120_000_u64, 0..60_u64, 1..40_usize), 1..30),
    ) {
        let list: Vec<(&str, &str)> = crons.iter().map(|text| (INTERVAL_TAG, text.as_str())).collect();
        let process = spawn(&list);
        let (head, _) = log(&process);
        let (mut scheduler, mut evaluator) = (table(&process), table(&process));
        let mut now = ORIGIN;
        let mut seen: BTreeMap<(Class, u32), (u64, u64)> = BTreeMap::new();
        for (ms, blocks, most) in looks {
            now = Moment { timestamp: now.timestamp + ms, height: now.height + blocks };
            loop {
                let due = scheduler.due(now, most);
                prop_assert!(due.len() <= most);
                if due.is_empty() {
                    break;
                }
                for tick in due {
                    let item = scheduler.item(&tick).unwrap();
                    let draft = Draft { message: item.id(), cron: Some(tick.id.to_string()), ..Draft::default() };
                    let assignment = head.next(draft, now.timestamp, now.height);
                    prop_assert_eq!(tick.id.to_string().parse(), Ok(tick.id.clone()));
                    prop_assert_eq!(&evaluator.check(&assignment, &item).unwrap(), &tick);
                    scheduler.follow(&assignment, &tick).unwrap();
                    evaluator.follow(&assignment, &tick).unwrap();
                    let count = seen.entry((tick.id.class, tick.id.index)).or_default();
                    *count = (count.0 + 1, count.1 + tick.skipped);
                }
            }
            let next = scheduler.next();
            prop_assert!(next.timestamp.is_none_or(|due| due > now.timestamp));
            prop_assert!(next.height.is_none_or(|due| due > now.height));
        }
        for (cron, last) in &scheduler.crons {
            let (made, skipped) = seen.get(&(cron.class, cron.index)).copied().unwrap_or_default();
            prop_assert_eq!(made + skipped, *last);
            prop_assert_eq!(*last, cron.newest(ORIGIN, now));
        }
    }
}
