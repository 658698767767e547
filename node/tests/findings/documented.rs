//! The tables of `node/docs/ao.md` against the source tree: rows numbered without holes, tests that exist.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const PAGE: &str = include_str!("../../docs/ao.md");

/// The rows of one table: the cells after the number, in order.
fn rows(letter: char) -> Vec<Vec<String>> {
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let numbered = |line: &&str| {
        let start = line.strip_prefix("| ").and_then(|rest| rest.strip_prefix(letter));
        start.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    PAGE.lines().filter(numbered).map(cells).collect()
}

/// The words in backticks of a cell.
fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Every function of the workspace's Rust sources.
fn functions() -> BTreeSet<String> {
    let mut folders: Vec<PathBuf> = vec![Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().into()];
    let mut found = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name());
            let hidden = name.to_string_lossy().starts_with('.') || name == "target" || name == "node_modules";
            if path.is_dir() && !hidden {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let after_fn = text.split("fn ").skip(1);
                found.extend(
                    after_fn.map(|rest| rest.chars().take_while(|c| *c == '_' || c.is_alphanumeric()).collect()),
                );
            }
        }
    }
    found
}

#[test]
fn the_tables_are_complete() {
    for (letter, count) in [('F', 18), ('R', 15)] {
        let numbers: Vec<String> = rows(letter).into_iter().map(|row| row[0].clone()).collect();
        let wanted: Vec<String> = (1..=count).map(|number| format!("{letter}{number}")).collect();
        assert_eq!(numbers, wanted);
    }
    let differences: Vec<String> = rows('D').into_iter().map(|row| row[0].clone()).collect();
    let wanted: Vec<String> = (1..=differences.len()).map(|number| format!("D{number}")).collect();
    assert_eq!(differences, wanted, "numbers are never given again and leave no holes");
    assert!(rows('D').iter().all(|row| row.len() == 3 && row.iter().all(|cell| !cell.is_empty())));
}

#[test]
fn every_test_that_is_named_exists() {
    let there = functions();
    for row in rows('F').into_iter().chain(rows('R')) {
        assert_eq!(row.len(), 4, "{row:?}");
        assert!(!names(&row[3]).is_empty(), "{} names no test that shows it", row[0]);
        for name in names(&row[3]) {
            assert!(there.contains(name), "{} names the test {name}, which is not there", row[0]);
        }
    }
}
