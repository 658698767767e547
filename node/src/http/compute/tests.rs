//! A memory on its way to a client that does not read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use axum::body::to_bytes;
use tokio::sync::Semaphore;

use super::*;

/// A memory of three pieces' size with something at its end, and its share of a budget.
fn view(budget: &Arc<Semaphore>) -> StateView {
    let memory_bytes = 3 * PIECE.0 as u64 + 5;
    StateView {
        slot: 1,
        timestamp: 2,
        block_height: 3,
        memory_bytes,
        parts: vec![(memory_bytes - 3, Bytes::from_static(b"end"))],
        share: Some(Arc::new(budget.clone().try_acquire_owned().unwrap())),
    }
}

/// Resolves when the semaphore's one place is free again.
async fn freed(semaphore: &Arc<Semaphore>) {
    drop(timeout(Duration::from_secs(60), semaphore.acquire()).await.expect("it is given back").unwrap());
}

#[tokio::test]
async fn a_memory_arrives_whole_and_gives_its_place_back() {
    let (places, budget) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(1)));
    let body = sent_within(COPY_TIME, view(&budget), places.clone().try_acquire_owned().unwrap());
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    assert_eq!((bytes.len(), &bytes[bytes.len() - 4..]), (3 * PIECE.0 + 5, b"\0end".as_slice()));
    freed(&places).await;
    freed(&budget).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_a_memory_loses_its_place() {
    let (places, budget) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(1)));
    let large = StateView { memory_bytes: 1 << 40, parts: Vec::new(), ..view(&budget) };
    let body = sent_within(Duration::from_millis(5), large, places.clone().try_acquire_owned().unwrap());
    freed(&places).await;
    freed(&budget).await;
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    assert!(bytes.len() <= (PIECE.1 + 1) * PIECE.0, "it ends short of its length: {}", bytes.len());
}

#[tokio::test]
async fn a_client_that_has_gone_gives_its_place_back() {
    let (places, budget) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(1)));
    let large = StateView { memory_bytes: 1 << 40, parts: Vec::new(), ..view(&budget) };
    drop(sent_within(COPY_TIME, large, places.clone().try_acquire_owned().unwrap()));
    freed(&places).await;
    freed(&budget).await;
}
