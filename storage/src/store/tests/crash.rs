//! kill -9 of a process that appends: what it said was stored, is stored.

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

use super::*;

const CHILD: &str = "WEFT_STORE_CRASH_CHILD";
const WORKERS: u64 = 8;

/// Not a test by itself: the process that is killed. Appends from several tasks at once and prints each number only when it
/// is acknowledged.
#[test]
fn child() {
    let Ok(folder) = env::var(CHILD) else { return };
    let store = open(Path::new(&folder));
    block_on(async {
        let worker = |worker: u64| {
            let store = store.clone();
            async move {
                for n in (worker..).step_by(WORKERS as usize) {
                    let number = n.to_le_bytes();
                    let record: Vec<u8> = number.iter().copied().cycle().take(8 + (n as usize * 37) % 3000).collect();
                    store.append(vec![record.into()]).await.unwrap();
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "ack {n}").unwrap();
                    out.flush().unwrap();
                }
            }
        };
        futures::future::join_all((0..WORKERS).map(worker)).await;
    });
}

#[test]
fn kill_9_loses_nothing_acknowledged() {
    for round in 0..6_usize {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["--exact", "store::tests::crash::child", "--nocapture"])
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut acknowledged = BTreeSet::new();
        let mut note = |line: std::io::Result<String>| {
            acknowledged.extend(line.ok().and_then(|line| line.rsplit_once("ack ")?.1.parse::<u64>().ok()));
            acknowledged.len()
        };
        while note(lines.next().expect("the child goes on until killed")) < 50 + round * 97 {}
        process.kill().unwrap();
        process.wait().unwrap();
        // Lines it managed to print before it died count too; a last one cut short does not parse or repeats a prefix.
        let rest: Vec<_> = lines.map_while(Result::ok).collect();
        for line in rest.into_iter().rev().skip(1) {
            note(Ok(line));
        }

        let store = open(folder.path());
        let stored = contents(&store);
        let numbers: Vec<u64> =
            stored.iter().map(|record| u64::from_le_bytes(record[..8].try_into().unwrap())).collect();
        let unique: BTreeSet<u64> = numbers.iter().copied().collect();
        assert_eq!(unique.len(), numbers.len(), "nothing twice");
        let lost: Vec<_> = acknowledged.difference(&unique).collect();
        assert!(lost.is_empty(), "round {round}: acknowledged but lost: {lost:?}");
        for (record, n) in stored.iter().zip(&numbers) {
            assert_eq!(record.len(), 8 + (*n as usize * 37) % 3000);
        }
    }
}
