//! The evaluation pool as `[compute]` of `node.toml` and the machine want it.

use std::time::Duration;

use super::{Checked, Folders, NodeError, start_error};
use crate::{
    compute::{Engine, ParkingConfig, Pool, PoolConfig, available_memory, total_memory},
    config::Size,
};

/// Least memory for live processes: a large one needs this to be evaluated at all.
const LEAST: u64 = 128 << 20;
/// Used when the machine does not say what it has.
const USUAL: u64 = 2 << 30;
/// Most threads: each has a stack, and more than processors are of no use.
const MOST_THREADS: usize = 1024;

/// The pool, started; what is parked on disk is known.
pub(super) async fn start(checked: &Checked, folders: &Folders, engine: &Engine) -> Result<Pool, NodeError> {
    let config = settings(checked, folders, engine)?;
    tracing::info!(
        threads = config.threads, memory = %Size(config.max_live_bytes as u64),
        parked = %Size(config.parking.as_ref().map_or(0, |parking| parking.max_bytes)), "evaluating"
    );
    let started = tokio::task::spawn_blocking(move || Pool::new(config)).await;
    started.map_err(start_error("evaluation pool"))?.map_err(start_error("evaluation pool"))
}

fn settings(checked: &Checked, folders: &Folders, engine: &Engine) -> Result<PoolConfig, NodeError> {
    let given = &checked.config.compute;
    let value = |field, value: String, reason: String| NodeError::Value { field, value, reason };
    let memory = match given.memory {
        Some(size) if size.0 < LEAST => {
            let reason = format!("it is too little to evaluate anything; give it {} at least", Size(LEAST));
            return Err(value("compute.memory", size.to_string(), reason));
        }
        Some(size) => match total_memory() {
            Some(total) if size.0 > total => {
                let reason = format!(
                    "this machine, or the control group that the node runs in, has {} MiB; name less, or leave it out",
                    total >> 20
                );
                return Err(value("compute.memory", size.to_string(), reason));
            }
            _ => size.0,
        },
        None => available_memory().map_or(USUAL, |free| free / 2).max(LEAST),
    };
    if let Some(threads) = given.threads.filter(|threads| threads.get() > MOST_THREADS) {
        let reason = format!("at most {MOST_THREADS} are of use; leave it out for one per processor");
        return Err(value("compute.threads", threads.to_string(), reason));
    }
    let usual = PoolConfig::default();
    let parking = (given.parked.0 > 0).then(|| ParkingConfig {
        folder: folders.of("parked"),
        key: parking_key(&checked.seed, engine),
        max_bytes: given.parked.0,
    });
    Ok(PoolConfig {
        threads: given.threads.unwrap_or(usual.threads),
        max_live_bytes: usize::try_from(memory).unwrap_or(usize::MAX),
        spare_bytes: total_memory().unwrap_or(0) / 16,
        parking,
        idle_after: Duration::from_secs(given.idle_after_seconds.max(1)),
        ..usual
    })
}

/// What parked processes are authenticated with: only this node has it, and a state of another engine profile is no state here.
fn parking_key(seed: &[u8; 32], engine: &Engine) -> [u8; 32] {
    let profile = engine.profile().id();
    let mut hasher = blake3::Hasher::new_derive_key("weft 2026 parked processes, by node key and engine profile");
    hasher.update(seed).update(profile.as_bytes());
    *hasher.finalize().as_bytes()
}
