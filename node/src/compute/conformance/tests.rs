#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;

use super::*;

#[test]
fn the_corpus_comes_out_as_it_must() {
    let found = corpus(Compilers::Optimising).unwrap();
    let lines: String = found.iter().map(|observation| observation.line() + "\n").collect();
    if lines != EXPECTED {
        // Whoever changed the environment on purpose takes this over.
        let path = std::env::temp_dir().join("weft-conformance-expected.txt");
        std::fs::write(&path, &lines).unwrap();
        eprintln!("what came out is in {}", path.display());
    }
    match check() {
        Ok(count) => assert_eq!(count, found.len()),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_difference_is_named_with_what_was_expected() {
    let line = EXPECTED.lines().find(|line| line.starts_with("floats: 0 / 0\t")).unwrap();
    let other = line.replace("7ff8000000000000", "fff8000000000000");
    assert_ne!(line, other, "the case has no NaN in its answer: {line}");
    let error = check_against(&EXPECTED.replace(line, &other)).unwrap_err().to_string();
    for part in ["case floats: 0 / 0:", "expected", "fff8000000000000, got", "7ff8000000000000 ("] {
        assert!(error.contains(part), "{part:?} is missing: {error}");
    }
    let longer = format!("{EXPECTED}another: case\t1\troot\toutcome\n");
    let error = check_against(&longer).unwrap_err().to_string();
    assert!(error.contains("another: case"), "{error}");
    let shorter: String = EXPECTED.lines().take(3).map(|line| format!("{line}\n")).collect();
    assert!(check_against(&shorter).is_err());
}

#[test]
fn cases_differ_in_what_they_show() {
    let found = corpus(Compilers::Optimising).unwrap();
    let kinds: BTreeSet<_> = found.iter().filter_map(|one| Some(one.outcome.split_once(": ")?.0)).collect();
    for kind in ["Trap", "OutOfFuel", "StackOverflow", "Exit"] {
        assert!(kinds.contains(kind), "no case ends with {kind}: {kinds:?}");
    }
    assert!(!kinds.contains("NodeFault") && !kinds.contains("BadOutput"), "{kinds:?}");
    assert!(found.iter().all(|one| one.fuel > 0 && one.fuel <= FUEL));
    let names: BTreeSet<_> = found.iter().map(|one| &one.case).collect();
    assert_eq!(names.len(), found.len(), "two cases have one name");
}

#[test]
fn random_programs_agree_and_are_worth_running() {
    let found = random(7, 16).unwrap();
    assert_eq!(found, random(7, 16).unwrap());
    assert_ne!(found, random(8, 16).unwrap());
    let fine = found.iter().filter(|one| !one.outcome.contains(": ")).count();
    assert!(fine * 2 > found.len(), "most messages fail: {fine} of {} are fine", found.len());
    assert!(fine < found.len(), "no message fails");
    let answers: BTreeSet<_> = found.iter().map(|one| (&one.outcome, one.fuel)).collect();
    assert!(answers.len() * 2 > found.len(), "the programs do the same");
}
