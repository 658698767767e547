#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use futures::future::join_all;

use super::*;
use crate::compute::{Engine, EngineConfig};

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
    assert_eq!((pool.state(id), pool.stats()), (None, PoolStats::default()));
    assert!(matches!(pool.root(id).await, Err(PoolError::NotLoaded)));
    pool.restore(id, &module, snapshot, slot).await.unwrap();
    assert_eq!(count(&pool.run(id, &module, jobs(5..6, "Increment")).await.unwrap()), "6");
}

#[tokio::test]
async fn parked_and_forgotten() {
    let module = counter();
    let pool = pool(|config| {
        config.max_live = 2;
        config.threads = NonZeroUsize::MIN;
    });
    for round in 0..3 {
        for number in 0..6 {
            let done = pool.run(process(number), &module, jobs(round..round + 1, "Increment")).await.unwrap();
            assert_eq!(count(&done), (round + 1).to_string());
        }
    }
    // The one thread parks before it takes what is asked after, so this sees the table at rest.
    pool.root(process(5)).await.unwrap();
    let stats = pool.stats();
    assert_eq!((stats.live, stats.parked), (2, 4), "{stats:?}");

    let small = self::pool(|config| {
        config.max_live = 1;
        config.max_parked_bytes = 0;
        config.threads = NonZeroUsize::MIN;
    });
    small.run(process(1), &module, jobs(0..2, "Increment")).await.unwrap();
    small.run(process(2), &module, jobs(0..2, "Increment")).await.unwrap();
    small.root(process(2)).await.unwrap();
    assert_eq!((small.state(process(1)), small.state(process(2))), (None, Some(2)));
    let gone = small.run(process(1), &module, jobs(2..3, "Increment")).await;
    assert!(matches!(gone, Err(PoolError::WrongState { at: 0, wanted: 2 })));
}

#[tokio::test]
async fn processes_run_in_parallel_and_one_alone() {
    let pool = pool(|_| {});
    // Both tasks meet at the barrier: neither gets past it unless the other runs at the same time.
    let barrier = Arc::new(Barrier::new(2));
    let meet = |number| {
        let barrier = Arc::clone(&barrier);
        pool.submit(process(number), move |_| {
            barrier.wait();
            Ok(())
        })
    };
    let met = tokio::time::timeout(DEADLINE, join_all([meet(1), meet(2)])).await.unwrap();
    assert!(met.iter().all(Result::is_ok));

    let inside = Arc::new(AtomicUsize::new(0));
    let alone = (0..50).map(|_| {
        let inside = Arc::clone(&inside);
        pool.submit(process(3), move |_| {
            let others = inside.fetch_add(1, Ordering::SeqCst);
            std::thread::yield_now();
            inside.fetch_sub(1, Ordering::SeqCst);
            Ok(others)
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
            pool.submit(process(1), move |_| {
                let _ = started.send(());
                let _ = gate.recv();
                Ok(())
            })
            .await
        }
    });
    running.await.unwrap();
    // Polled once each, so that they wait.
    let nothing = |number| Box::pin(pool.submit(process(number), |_| Ok(())));
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
    let panicked: Result<(), _> = pool.submit(process(1), |_| panic!("on purpose")).await;
    assert!(matches!(panicked, Err(PoolError::Panicked)));
    assert_eq!((pool.state(process(1)), pool.state(process(2))), (None, Some(1)));
    assert_eq!(count(&pool.run(process(2), &module, jobs(1..2, "Increment")).await.unwrap()), "2");
    assert_eq!(count(&pool.run(process(1), &module, jobs(0..1, "Increment")).await.unwrap()), "1");
}

#[tokio::test]
async fn two_modules_and_closing() {
    let (pool, module) = (pool(|_| {}), counter());
    let dir = tempfile::tempdir().unwrap();
    let other = wat::parse_str(
        r#"(module (memory (export "memory") 1) (func (export "alloc") (param i32) (result i32) (i32.const 0))
            (func (export "handle") (param i32 i32 i32 i32) (result i64) (i64.const 0)))"#,
    );
    let engine = Engine::new(EngineConfig::new(dir.path())).unwrap();
    let other = engine.load(&other.unwrap(), module.format()).unwrap();
    pool.run(process(1), &module, jobs(0..1, "Increment")).await.unwrap();
    let refused = pool.run(process(1), &other, jobs(1..2, "Increment")).await;
    assert!(matches!(refused, Err(PoolError::OtherModule { .. })));
    pool.owner.shared.lock().close();
    pool.owner.shared.wake.notify_all();
    assert!(matches!(pool.run(process(1), &module, jobs(1..2, "Increment")).await, Err(PoolError::Closed(_))));
}
