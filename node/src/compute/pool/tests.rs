#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{
    num::NonZeroUsize,
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use futures::future::join_all;

use super::*;

use crate::compute::{Engine, EngineConfig, Reads};

const COUNTER: &[u8] = include_bytes!("../../../../examples/counter-c/counter.wasm");
/// Far longer than anything here takes; only a test that would hang meets it.
const DEADLINE: Duration = Duration::from_secs(60);

fn pool(change: impl FnOnce(&mut PoolConfig)) -> Pool {
    let mut config = PoolConfig { threads: NonZeroUsize::new(2).unwrap(), ..PoolConfig::default() };
    change(&mut config);
    Pool::new(config).unwrap()
}

fn counter() -> Module {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::new(EngineConfig::new(dir.path())).unwrap();
    engine.load(COUNTER, "wasm32-unknown-unknown".parse().unwrap()).unwrap()
}

/// A module that does nothing.
fn other() -> Module {
    let wasm = wat::parse_str(
        r#"(module (memory (export "memory") 1) (func (export "alloc") (param i32) (result i32) (i32.const 0))
            (func (export "handle") (param i32 i32 i32 i32) (result i64) (i64.const 0)))"#,
    );
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::new(EngineConfig::new(dir.path())).unwrap();
    engine.load(&wasm.unwrap(), "wasm32-unknown-unknown".parse().unwrap()).unwrap()
}

fn process(number: u8) -> Id {
    Id::from_bytes([number; 32])
}

fn jobs(slots: std::ops::Range<u64>, action: &str) -> Vec<Job> {
    let msg_json = serde_json::json!({"From": "me", "Tags": [{"name": "Action", "value": action}]}).to_string();
    slots
        .map(|slot| Job {
            slot,
            msg_json: msg_json.clone(),
            env_json: Arc::from("{}"),
            reads: Reads::none(),
            root: false,
        })
        .collect()
}

fn count(evaluations: &[Evaluation]) -> String {
    let response = evaluations.last().unwrap().result.as_ref().unwrap();
    response["Output"]["data"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn slots_in_order() {
    let (pool, module, id) = (pool(|_| {}), counter(), process(1));
    assert_eq!(pool.state(id), None);
    assert!(matches!(
        pool.run(id, &module, jobs(1..2, "Increment")).await,
        Err(PoolError::WrongState { at: 0, wanted: 1 })
    ));
    assert_eq!(count(&pool.run(id, &module, jobs(0..3, "Increment")).await.unwrap()), "3");
    assert_eq!(pool.state(id), Some(3));
    for wrong in [0..1, 2..4, 4..5] {
        assert!(matches!(pool.run(id, &module, jobs(wrong, "Ping")).await, Err(PoolError::WrongState { at: 3, .. })));
    }
    let gap = [jobs(3..4, "Ping"), jobs(5..6, "Ping")].concat();
    assert!(matches!(pool.run(id, &module, gap).await, Err(PoolError::BadJobs(_))));
    assert!(matches!(pool.run(id, &module, jobs(3..2000, "Ping")).await, Err(PoolError::BadJobs(_))));
    // A message that fails uses up its slot and changes nothing.
    let (slot, root) = pool.root(id).await.unwrap();
    let failed = pool.run(id, &module, jobs(3..4, "Nonsense")).await.unwrap();
    assert!(!failed[0].committed);
    assert_eq!((slot, pool.root(id).await.unwrap()), (3, (4, root)));
    assert!(pool.run(id, &module, Vec::new()).await.unwrap().is_empty());
    assert_eq!(pool.state(id), Some(4));
}

#[tokio::test]
async fn a_job_that_asks_for_the_root_has_it_of_just_then() {
    let (pool, module, id) = (pool(|_| {}), counter(), process(1));
    let mut wanted = jobs(0..4, "Increment");
    wanted[1].root = true;
    wanted[3].root = true;
    let done = pool.run(id, &module, wanted).await.unwrap();
    let roots: Vec<_> = done.iter().map(|one| one.root).collect();
    assert!(roots[0].is_none() && roots[2].is_none() && roots[1] != roots[3]);
    assert_eq!(pool.root(id).await.unwrap(), (4, roots[3].unwrap()));
    // A failed slot has the root of the state that it left as it was.
    let mut failing = jobs(4..5, "Nonsense");
    failing[0].root = true;
    assert_eq!(pool.run(id, &module, failing).await.unwrap()[0].root, roots[3]);
    pool.run(process(2), &module, jobs(0..2, "Increment")).await.unwrap();
    assert_eq!(pool.root(process(2)).await.unwrap().1, roots[1].unwrap());
}

#[tokio::test]
async fn dry_runs_snapshots_and_dropping() {
    let (pool, module, id) = (pool(|_| {}), counter(), process(1));
    let msg = jobs(0..1, "Increment")[0].msg_json.clone();
    assert!(matches!(pool.dry_run(id, msg.clone(), Arc::from("{}")).await, Err(PoolError::NotLoaded)));
    pool.run(id, &module, jobs(0..5, "Increment")).await.unwrap();
    let (slot, snapshot) = pool.snapshot(id).await.unwrap();
    let dry = pool.dry_run(id, msg, Arc::from("{}")).await.unwrap();
    assert_eq!(count(&[dry]), "6");
    assert_eq!(pool.root(id).await.unwrap(), (5, snapshot.root()));
    pool.drop_process(id).await.unwrap();
    let stats = pool.stats();
    assert_eq!((pool.state(id), stats.live, stats.live_bytes, stats.waiting, stats.running), (None, 0, 0, 0, 0));
    assert!(matches!(pool.root(id).await, Err(PoolError::NotLoaded)));
    pool.restore(id, &module, snapshot, slot).await.unwrap();
    assert_eq!(count(&pool.run(id, &module, jobs(5..6, "Increment")).await.unwrap()), "6");
}

/// A configuration with one thread, so that the table is at rest when it has answered, that parks in `folder`.
fn parking_in(folder: &std::path::Path) -> impl Fn(&mut PoolConfig) {
    let folder = folder.to_owned();
    move |config| {
        config.threads = NonZeroUsize::MIN;
        config.parking = Some(ParkingConfig { folder: folder.clone(), key: [5; 32], max_bytes: 1 << 30 });
    }
}

#[tokio::test]
async fn parked_and_forgotten() {
    let (module, dir) = (counter(), tempfile::tempdir().unwrap());
    let pool = pool(|config| {
        parking_in(dir.path())(config);
        config.max_live = 2;
    });
    for round in 0..3 {
        for number in 0..6 {
            let done = pool.run(process(number), &module, jobs(round..round + 1, "Increment")).await.unwrap();
            assert_eq!(count(&done), (round + 1).to_string());
        }
    }
    let stats = pool.stats();
    assert_eq!((stats.live, stats.parked, stats.evicted), (2, 4, 0), "{stats:?}");
    assert_eq!((stats.parkings, stats.revivals), (16, 12), "{stats:?}");
    // Read, and nothing else: back on disk it is what it was, without being written again.
    let before = pool.root(process(0)).await.unwrap();
    pool.root(process(1)).await.unwrap();
    pool.root(process(2)).await.unwrap();
    assert_eq!(pool.root(process(0)).await.unwrap(), before);
    assert_eq!(pool.stats().parkings, 18, "only those that had moved on were written");

    // Nowhere to park: forgotten.
    let small = self::pool(|config| {
        config.max_live = 1;
        config.threads = NonZeroUsize::MIN;
    });
    small.run(process(1), &module, jobs(0..2, "Increment")).await.unwrap();
    small.run(process(2), &module, jobs(0..2, "Increment")).await.unwrap();
    assert_eq!((small.state(process(1)), small.state(process(2))), (None, Some(2)));
    assert_eq!(small.stats().evicted, 1);
    let gone = small.run(process(1), &module, jobs(2..3, "Increment")).await;
    assert!(matches!(gone, Err(PoolError::WrongState { at: 0, wanted: 2 })));
}

#[tokio::test]
async fn the_oldest_files_make_room_on_disk() {
    let (module, dir) = (counter(), tempfile::tempdir().unwrap());
    let pool = pool(|config| {
        parking_in(dir.path())(config);
        config.max_live = 1;
        config.parking.as_mut().unwrap().max_bytes = 2000;
    });
    for number in 0..10 {
        pool.run(process(number), &module, jobs(0..1, "Increment")).await.unwrap();
    }
    let stats = pool.stats();
    assert!(stats.parked >= 1 && stats.parked_bytes <= 2000 && stats.evicted >= 1, "{stats:?}");
    assert_eq!(stats.parked + usize::try_from(stats.evicted).unwrap() + 1, 10);
    assert_eq!((pool.state(process(0)), pool.state(process(8))), (None, Some(1)));
    assert_eq!(count(&pool.run(process(8), &module, jobs(1..2, "Increment")).await.unwrap()), "2");
}

#[tokio::test]
async fn a_restart_knows_what_was_parked() {
    let (module, dir) = (counter(), tempfile::tempdir().unwrap());
    let first = pool(parking_in(dir.path()));
    for number in 0..5 {
        first.run(process(number), &module, jobs(0..3, "Increment")).await.unwrap();
    }
    first.shut_down(DEADLINE).await;
    assert_eq!(first.stats().live, 0);
    assert!(matches!(first.run(process(0), &module, jobs(3..4, "Increment")).await, Err(PoolError::Closed(_))));
    drop(first);

    let pool = pool(parking_in(dir.path()));
    let stats = pool.stats();
    assert_eq!((stats.live, stats.parked), (0, 5), "{stats:?}");
    assert_eq!(count(&pool.run(process(4), &module, jobs(3..4, "Increment")).await.unwrap()), "4");
    // Nobody has said which module it runs.
    assert!(matches!(pool.root(process(3)).await, Err(PoolError::NotLoaded)));
    assert_eq!(pool.state_with(process(3), &module), Some(3));
    assert_eq!(pool.root(process(3)).await.unwrap().0, 3);
    let dry = pool.dry_run(process(2), jobs(0..1, "Increment")[0].msg_json.clone(), Arc::from("{}")).await;
    assert!(matches!(dry, Err(PoolError::NotLoaded)));
    pool.state_with(process(2), &module);
    let dry = pool.dry_run(process(2), jobs(0..1, "Increment")[0].msg_json.clone(), Arc::from("{}")).await;
    assert_eq!(count(&[dry.unwrap()]), "4");
    // A damaged file is as good as none: the process stands at 0, to be replayed.
    let folder = dir.path().join("01");
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.len() - 40;
    bytes[at] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let damaged = pool.run(process(1), &module, jobs(3..4, "Increment")).await;
    assert!(matches!(damaged, Err(PoolError::WrongState { at: 0, wanted: 3 })), "{damaged:?}");
    assert!(!file.exists());
    assert_eq!(pool.state(process(1)), None);
    assert_eq!(count(&pool.run(process(1), &module, jobs(0..4, "Increment")).await.unwrap()), "4");
    // Dropped is dropped: from the disk, too.
    pool.drop_process(process(0)).await.unwrap();
    assert_eq!(pool.state(process(0)), None);
}

#[tokio::test]
async fn another_modules_file_is_not_run() {
    let (module, dir) = (counter(), tempfile::tempdir().unwrap());
    let first = pool(parking_in(dir.path()));
    first.run(process(1), &module, jobs(0..3, "Increment")).await.unwrap();
    first.shut_down(DEADLINE).await;
    let pool = pool(parking_in(dir.path()));
    let refused = pool.run(process(1), &other(), jobs(3..4, "Increment")).await;
    assert!(matches!(refused, Err(PoolError::OtherModule { .. })), "{refused:?}");
    assert_eq!(count(&pool.run(process(1), &module, jobs(3..4, "Increment")).await.unwrap()), "4");
}

#[tokio::test]
async fn what_nobody_asks_for_is_parked() {
    let (module, dir) = (counter(), tempfile::tempdir().unwrap());
    let pool = pool(|config| {
        parking_in(dir.path())(config);
        config.idle_after = Duration::from_millis(1);
    });
    pool.run(process(1), &module, jobs(0..1, "Increment")).await.unwrap();
    let parked = async {
        while pool.stats().parked == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, parked).await.unwrap();
    assert_eq!((pool.stats().live, pool.state(process(1))), (0, Some(1)));
}

/// What one process wants of the pool: as many turns as it says, each noted.
async fn turns(pool: &Pool, number: u8, turns: usize, order: &Arc<Mutex<Vec<u8>>>) {
    let (order, mut left) = (Arc::clone(order), turns);
    let task = pool.submit(process(number), move |_, _| {
        order.lock().unwrap().push(number);
        left -= 1;
        Ok((left == 0).then_some(()))
    });
    task.await.unwrap();
}

#[tokio::test]
async fn a_flood_does_not_starve_a_trickle() {
    let pool = pool(|config| config.threads = NonZeroUsize::MIN);
    let order = Arc::new(Mutex::new(Vec::new()));
    let (started, running) = oneshot::channel();
    let (release, gate) = mpsc::sync_channel::<()>(1);
    let mut started = Some(started);
    let mut blocked = Box::pin(pool.submit(process(9), move |_, _| {
        let _ = started.take().unwrap().send(());
        let _ = gate.recv();
        Ok(Some(()))
    }));
    assert!(futures::poll!(&mut blocked).is_pending());
    running.await.unwrap();
    // The flood comes first: 10 tasks of 40 turns. Then three others want two each.
    let mut asked: Vec<_> = (0..10).map(|_| Box::pin(turns(&pool, 1, 40, &order))).collect();
    asked.extend((2..5).map(|number| Box::pin(turns(&pool, number, 2, &order))));
    for task in &mut asked {
        assert!(futures::poll!(task).is_pending());
    }
    release.send(()).unwrap();
    blocked.await.unwrap();
    join_all(asked).await;
    let order = order.lock().unwrap();
    assert_eq!(order.len(), 406);
    // By the time had: whoever had least goes first, so each of the others had its first turn after one of the flood's.
    assert_eq!(order[..4], [1, 2, 3, 4]);
    let last = order.iter().rposition(|number| *number != 1).unwrap();
    assert!(last < 100, "the others were done after {last} turns");
}

#[tokio::test]
async fn jobs_are_cut_into_turns() {
    let (pool, module) = (pool(|config| config.quantum = Duration::ZERO), counter());
    let done = pool.run(process(1), &module, jobs(0..50, "Increment")).await.unwrap();
    assert_eq!((done.len(), count(&done).as_str(), pool.state(process(1))), (50, "50", Some(50)));
}

#[tokio::test]
async fn processes_run_in_parallel_and_one_alone() {
    let pool = pool(|_| {});
    // Both tasks meet at the barrier: neither gets past it unless the other runs at the same time.
    let barrier = Arc::new(Barrier::new(2));
    let meet = |number| {
        let barrier = Arc::clone(&barrier);
        pool.submit(process(number), move |_, _| {
            barrier.wait();
            Ok(Some(()))
        })
    };
    let met = tokio::time::timeout(DEADLINE, join_all([meet(1), meet(2)])).await.unwrap();
    assert!(met.iter().all(Result::is_ok));

    let inside = Arc::new(AtomicUsize::new(0));
    let alone = (0..50).map(|_| {
        let inside = Arc::clone(&inside);
        pool.submit(process(3), move |_, _| {
            let others = inside.fetch_add(1, Ordering::SeqCst);
            std::thread::yield_now();
            inside.fetch_sub(1, Ordering::SeqCst);
            Ok(Some(others))
        })
    });
    assert!(join_all(alone).await.into_iter().all(|others| others.unwrap() == 0));
}

#[tokio::test]
async fn full_queues_say_so() {
    let pool = pool(|config| {
        config.threads = NonZeroUsize::MIN;
        config.max_waiting = 3;
        config.max_waiting_per_process = 2;
    });
    let (started, running) = oneshot::channel();
    let (release, gate) = mpsc::sync_channel::<()>(1);
    let blocked = tokio::spawn({
        let pool = pool.clone();
        async move {
            let mut started = Some(started);
            pool.submit(process(1), move |_, _| {
                let _ = started.take().unwrap().send(());
                let _ = gate.recv();
                Ok(Some(()))
            })
            .await
        }
    });
    running.await.unwrap();
    // Polled once each, so that they wait.
    let nothing = |number| Box::pin(pool.submit(process(number), |_, _| Ok(Some(()))));
    let mut waiting = vec![nothing(1), nothing(1)];
    for task in &mut waiting {
        assert!(futures::poll!(task).is_pending());
    }
    assert!(matches!(nothing(1).await, Err(PoolError::Busy("the process's"))));
    waiting.push(nothing(2));
    assert!(futures::poll!(waiting.last_mut().unwrap()).is_pending());
    assert!(matches!(nothing(3).await, Err(PoolError::Busy("the node's"))));
    assert_eq!(pool.stats().waiting, 3);
    release.send(()).unwrap();
    blocked.await.unwrap().unwrap();
    for task in waiting {
        task.await.unwrap();
    }
    nothing(3).await.unwrap();
}

#[tokio::test]
async fn a_panic_costs_one_process_its_state() {
    let (pool, module) = (pool(|config| config.threads = NonZeroUsize::MIN), counter());
    pool.run(process(1), &module, jobs(0..1, "Increment")).await.unwrap();
    pool.run(process(2), &module, jobs(0..1, "Increment")).await.unwrap();
    let panicked: Result<(), _> = pool.submit(process(1), |_, _| panic!("on purpose")).await;
    assert!(matches!(panicked, Err(PoolError::Panicked)));
    assert_eq!((pool.state(process(1)), pool.state(process(2))), (None, Some(1)));
    assert_eq!(count(&pool.run(process(2), &module, jobs(1..2, "Increment")).await.unwrap()), "2");
    assert_eq!(count(&pool.run(process(1), &module, jobs(0..1, "Increment")).await.unwrap()), "1");
}

#[tokio::test]
async fn two_modules_and_closing() {
    let (pool, module) = (pool(|_| {}), counter());
    let other = other();
    pool.run(process(1), &module, jobs(0..1, "Increment")).await.unwrap();
    let refused = pool.run(process(1), &other, jobs(1..2, "Increment")).await;
    assert!(matches!(refused, Err(PoolError::OtherModule { .. })));
    pool.owner.shared.lock().close(Phase::Closed);
    pool.owner.shared.wake.notify_all();
    assert!(matches!(pool.run(process(1), &module, jobs(1..2, "Increment")).await, Err(PoolError::Closed(_))));
}
