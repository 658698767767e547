#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;

#[tokio::test]
async fn turns_go_round_in_order_and_whoever_waits_knows_that_what_was_before_is_kept() {
    let keeper = Keeper::default();
    let first = keeper.turn().await.unwrap();
    let (next, waiting) = (keeper.clone(), keeper.clone());
    let second = tokio::spawn(async move { next.turn().await.map(drop) });
    let kept = tokio::spawn(async move { waiting.kept().await });
    tokio::task::yield_now().await;
    assert!(!second.is_finished() && !kept.is_finished());
    drop(first);
    second.await.unwrap().unwrap();
    kept.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_was_not_kept_is_said_to_who_waits_and_once_to_who_goes_on() {
    let keeper = Keeper::default();
    *keeper.turn().await.unwrap() = Some(Code::Internal.refuse("the disk is full"));
    assert_eq!(keeper.kept().await.unwrap_err().reason, "the disk is full");
    assert_eq!(keeper.turn().await.unwrap_err().reason, "the disk is full");
    assert!(keeper.kept().await.is_ok() && keeper.turn().await.is_ok());
    *keeper.turn().await.unwrap() = Some(Code::Internal.refuse("the disk is full"));
    keeper.settled().await;
    assert!(keeper.turn().await.is_ok());
}
