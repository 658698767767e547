//! Many processes on a pool's threads.

use std::{num::NonZeroUsize, sync::Arc, time::Instant};

use weft_node::compute::{Job, Module, Pool, PoolConfig, Reads};
use weft_protocol::Id;

use crate::{
    table::Table,
    workload::{Kind, Work},
};

/// Evaluations a second, by the clock, of `processes` processes on `threads` threads.
async fn rate(module: &Module, work: &Work, threads: usize, processes: usize, messages: usize) -> f64 {
    let config = PoolConfig { threads: NonZeroUsize::new(threads).unwrap(), ..PoolConfig::default() };
    let pool = Pool::new(config).unwrap();
    let env: Arc<str> = Arc::from(work.env.as_str());
    let jobs = |from: usize, messages: Vec<String>| -> Vec<Job> {
        let job = |(slot, msg_json)| Job {
            slot: slot as u64,
            msg_json,
            env_json: Arc::clone(&env),
            reads: Reads::none(),
            root: false,
        };
        (from..).zip(messages).map(job).collect()
    };
    let setup = work.setup(true);
    let each = (messages / processes).max(1);
    let ids: Vec<Id> = (0..processes).map(|index| Id::sha256(&index.to_le_bytes())).collect();
    for id in &ids {
        pool.run(*id, module, jobs(0, setup.clone())).await.unwrap();
    }
    let batches: Vec<Vec<Job>> = ids.iter().map(|_| jobs(setup.len(), work.timed(0, each))).collect();
    let began = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for (id, jobs) in ids.into_iter().zip(batches) {
        let (pool, module) = (pool.clone(), module.clone());
        running.spawn(async move { pool.run(id, &module, jobs).await.unwrap().len() });
    }
    let done: usize = running.join_all().await.iter().sum();
    done as f64 / began.elapsed().as_secs_f64()
}

/// One row per module and number of processes.
pub fn all(modules: &[(&str, Module)], messages: usize, markdown: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let work = Work::new(Kind::Ping);
    let mut table = Table::new(&["process", "processes", "1 thread", "2 threads", "gain"]);
    for (name, module) in modules {
        for processes in [1, 2, 64] {
            let of = |threads| runtime.block_on(rate(module, &work, threads, processes, messages));
            let (one, two) = (of(1), of(2));
            let gain = format!("{:.2} x", two / one);
            table.row([(*name).to_owned(), processes.to_string(), format!("{one:.0}/s"), format!("{two:.0}/s"), gain]);
        }
    }
    table.print("Pings a second on the pool, by the clock", markdown);
}
