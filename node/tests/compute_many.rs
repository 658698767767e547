//! Many processes on one node: few live, the others on disk, every one of them at once where it was.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/modules.rs"]
mod modules;

use std::{
    fs,
    io::{BufRead, BufReader},
    num::NonZeroUsize,
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::stream::{StreamExt as _, TryStreamExt as _};
use weft_node::compute::{Evaluation, Job, Module, ParkingConfig, Pool, PoolConfig, PoolError, PoolStats, Reads};
use weft_protocol::Id;

/// Says to this program, started again by a test, what to do and where.
const CHILD: &str = "WEFT_TEST_CHILD";
/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(120);
const PROCESSES: u64 = 10_000;

fn counter() -> Module {
    modules::engine(|_| {}).load(modules::COUNTER, "wasm32-unknown-unknown".parse().unwrap()).unwrap()
}

fn pool(folder: &Path, change: impl FnOnce(&mut PoolConfig)) -> Pool {
    let parking = ParkingConfig { folder: folder.to_owned(), key: [3; 32], max_bytes: 4 << 30 };
    let mut config =
        PoolConfig { threads: NonZeroUsize::new(2).unwrap(), parking: Some(parking), ..PoolConfig::default() };
    change(&mut config);
    Pool::new(config).unwrap()
}

fn process(number: u64) -> Id {
    Id::sha256(&number.to_be_bytes())
}

fn increments(slots: std::ops::Range<u64>) -> Vec<Job> {
    let msg_json = modules::message(&[("Action", "Increment")], "");
    let job =
        |slot| Job { slot, msg_json: msg_json.clone(), env_json: Arc::from("{}"), reads: Reads::none(), root: false };
    slots.map(job).collect()
}

fn count(evaluations: &[Evaluation]) -> u64 {
    let response = evaluations.last().unwrap().result.as_ref().unwrap();
    response["Output"]["data"].as_str().unwrap().parse().unwrap()
}

/// How many messages a process had: not all the same, so that one's state is not another's.
fn messages(number: u64) -> u64 {
    1 + number % 5
}

/// Runs `work` for each number, 16 at once.
async fn each<T, F: Future<Output = Result<T, PoolError>>>(
    numbers: impl Iterator<Item = u64>,
    work: impl Fn(u64) -> F,
) -> Result<(), PoolError> {
    // What comes out is not kept: it would be counted as the processes'.
    futures::stream::iter(numbers).map(work).buffer_unordered(16).try_for_each(|_| async { Ok(()) }).await
}

async fn until(pool: &Pool, what: impl Fn(&PoolStats) -> bool) {
    let reached = async {
        while !what(&pool.stats()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, reached).await.unwrap_or_else(|_| panic!("{:?}", pool.stats()));
}

/// One more message for a sample of processes: each goes on from its own state.
async fn sample(pool: &Pool, module: &Module, step: usize) -> Duration {
    let started = Instant::now();
    let mut asked = 0;
    for number in (7..PROCESSES).step_by(step) {
        let slot = pool.state_with(process(number), module).unwrap();
        let done = pool.run(process(number), module, increments(slot..slot + 1)).await.unwrap();
        assert_eq!(count(&done), slot + 1, "process {number}");
        assert!(slot >= messages(number));
        asked += 1;
    }
    started.elapsed() / asked
}

/// A number of `/proc/self/status`, in bytes.
fn memory(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Files under a folder, and what they take of the disk.
fn files(folder: &Path) -> (u64, u64) {
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    all.fold((0, 0), |(count, bytes), entry| {
        let meta = entry.metadata().unwrap();
        let (more, size) = if meta.is_dir() { files(&entry.path()) } else { (1, meta.blocks() * 512) };
        (count + more, bytes + size)
    })
}

#[tokio::test]
async fn ten_thousand_are_parked_and_answer_again() {
    let (module, dir) = (counter(), tempfile::tempdir().unwrap());
    let pool = self::pool(dir.path(), |config| config.max_live = 200);
    let (before, started) = (memory("VmRSS"), Instant::now());
    each(0..PROCESSES, |number| pool.run(process(number), &module, increments(0..messages(number)))).await.unwrap();
    let made = started.elapsed();
    until(&pool, |stats| stats.running == 0).await;
    let stats = pool.stats();
    assert!(stats.live <= 200 && stats.evicted == 0, "{stats:?}");
    assert_eq!(stats.live + stats.parked, PROCESSES as usize, "{stats:?}");
    let answered = sample(&pool, &module, 101).await;
    pool.shut_down(DEADLINE).await;
    let (count, disk) = files(dir.path());
    let after = memory("VmRSS");
    assert_eq!((count, pool.stats().live), (PROCESSES, 0));
    println!(
        "10,000 processes made in {made:?}; one answers again in {answered:?}; parked they take {} bytes of memory and {} of \
         disk each ({} of content)",
        after.saturating_sub(before) / PROCESSES,
        disk / PROCESSES,
        pool.stats().parked_bytes / PROCESSES
    );
    drop(pool);

    let started = Instant::now();
    let pool = self::pool(dir.path(), |config| config.max_live = 200);
    println!("found again after a restart in {:?}", started.elapsed());
    let stats = pool.stats();
    assert_eq!((stats.live, stats.parked), (0, PROCESSES as usize), "{stats:?}");
    for number in 0..PROCESSES {
        assert!(pool.state(process(number)).is_some_and(|slot| slot >= messages(number)));
    }
    sample(&pool, &module, 97).await;
}

#[tokio::test]
async fn a_thousand_live_are_counted_as_what_they_take() {
    let (module, dir) = (counter(), tempfile::tempdir().unwrap());
    let pool = self::pool(dir.path(), |_| {});
    // The allocator, the threads and the code are there before anything is counted.
    each(0..20, |number| pool.run(process(number), &module, increments(0..1))).await.unwrap();
    // Page tables are memory, too.
    let now = || memory("RssAnon") + memory("VmPTE");
    let (before, counted) = (now(), pool.stats().live_bytes as u64);
    each(20..1020, |number| pool.run(process(number), &module, increments(0..1))).await.unwrap();
    let stats = pool.stats();
    assert_eq!((stats.live, stats.parked), (1020, 0), "{stats:?}");
    let (taken, counted) = (now() - before, stats.live_bytes as u64 - counted);
    let maps = fs::read_to_string("/proc/self/maps").unwrap().lines().count();
    println!("1,000 live take {} bytes each, counted {}; {maps} maps in all", taken / 1000, counted / 1000);
    assert!(counted * 3 >= taken * 2 && counted <= taken * 2, "counted {counted}, taken {taken}");

    // Half of that is allowed: the others go, and nobody's state is lost.
    let half = self::pool(&dir.path().join("half"), |config| config.max_live_bytes = stats.live_bytes / 2);
    each(0..1020, |number| half.run(process(number), &module, increments(0..1))).await.unwrap();
    until(&half, |stats| stats.running == 0 && stats.live_bytes <= stats.max_live_bytes).await;
    let stats = half.stats();
    assert!(stats.live < 700 && stats.live > 200 && stats.live + stats.parked == 1020, "{stats:?}");
    each(0..1020, |number| half.run(process(number), &module, increments(1..2))).await.unwrap();
}

/// Runs one of this file's `child_` tests as a program of its own.
fn child(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(CHILD, folder).stdout(Stdio::piped());
    command
}

/// Evaluates and parks in turn until it is killed; a line for each message that was answered.
#[tokio::test]
async fn child_parks_until_it_is_killed() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let (module, pool) = (counter(), pool(Path::new(&folder), |config| config.max_live = 2));
    for slot in 0..1_000_000 {
        for number in 0..16 {
            pool.run(process(number), &module, increments(slot..slot + 1)).await.unwrap();
            println!("answered {number} {slot}");
        }
    }
}

#[tokio::test]
async fn killed_while_it_parks() {
    let (module, dir) = (counter(), tempfile::tempdir().unwrap());
    for round in 0..3 {
        let mut killed = child("child_parks_until_it_is_killed", dir.path()).spawn().unwrap();
        let lines = BufReader::new(killed.stdout.take().unwrap()).lines().map(Result::unwrap);
        // It is parking something nearly always; where exactly it is killed is left to chance.
        let answered: Vec<String> = lines.filter(|line| line.starts_with("answered")).take(150 + 37 * round).collect();
        killed.kill().unwrap();
        killed.wait().unwrap();
        assert!(answered.len() >= 150, "{answered:?}");
        let pool = self::pool(dir.path(), |_| {});
        let known: Vec<u64> = (0..16).filter(|number| pool.state(process(*number)).is_some()).collect();
        assert!(known.len() >= 14, "{known:?}");
        for number in known {
            // An earlier state may be there, never a wrong one.
            let slot = pool.state(process(number)).unwrap();
            let done = pool.run(process(number), &module, increments(slot..slot + 1)).await.unwrap();
            assert_eq!(count(&done), slot + 1);
        }
        drop(pool);
        // The next round begins from nothing.
        fs::remove_dir_all(dir.path()).unwrap();
    }
}

/// Has its address space cut to what it has and some processes more, after the pool was made for all of it.
#[tokio::test]
async fn child_gets_no_more_memory() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let (module, pool) = (counter(), pool(Path::new(&folder), |_| {}));
    pool.run(process(0), &module, increments(0..1)).await.unwrap();
    let limit = Some(memory("VmSize") + (30 << 30));
    rustix::process::setrlimit(
        rustix::process::Resource::As,
        rustix::process::Rlimit { current: limit, maximum: limit },
    )
    .unwrap();
    for round in 1..4 {
        for number in 1..40 {
            let done = pool.run(process(number), &module, increments(round - 1..round)).await.unwrap();
            assert_eq!(count(&done), round);
        }
    }
    let stats = pool.stats();
    println!("survived {} {} {}", stats.live, stats.parked, stats.evicted);
}

#[test]
fn memory_that_is_refused_makes_the_pool_smaller() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = child("child_gets_no_more_memory", dir.path()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let said: Vec<String> = lines.collect();
    assert!(child.wait().unwrap().success(), "{said:?}");
    let line = said.iter().find_map(|line| line.strip_prefix("survived ")).unwrap();
    let numbers: Vec<usize> = line.split(' ').map(|number| number.parse().unwrap()).collect();
    assert!((1..=10).contains(&numbers[0]), "live: {line}");
    assert_eq!((numbers[0] + numbers[1], numbers[2]), (40, 0), "{line}");
}
