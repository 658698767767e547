//! Assignments whose transaction is not deep enough: how long they wait, and that nothing waits with them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use weft_protocol::assignment::{Draft, Head};

use super::*;

fn not_deep(retry_after_ms: u64) -> Refusal {
    Refusal { retry_after_ms, ..Code::NotSettled.refuse("transaction T has 0 confirmations and this process wants 4") }
}

#[test]
fn an_assignment_waits_for_its_transaction_and_not_for_ever() {
    let (sent, patience) = (1_700_000_000_000, settlement::patience_ms(4));
    let tried = |sent, now, asked| later_or_never(&not_deep(asked), patience, sent, now);
    for (asked, pause) in [(8_000, Duration::from_secs(8)), (0, RETRY.0), (u64::MAX, LONGEST_PAUSE)] {
        for now in [0, sent, sent + patience] {
            let Tried::Later(why, wait) = tried(Some(sent), now, asked) else { panic!("given up at {now}") };
            assert_eq!(wait, pause, "never zero, so that it is not held");
            assert!(why.contains("wants 4"), "{why}");
        }
    }
    let Tried::Answered(Delivered::Refused, why) = tried(Some(sent), sent + patience + 1, 8_000) else {
        panic!("waits")
    };
    assert!(why.starts_with("assignment refused: transaction T has 0") && why.ends_with("given up"), "{why}");
    // A node that has not kept the slot (it pushes again on somebody's word) decides nothing.
    assert!(matches!(tried(None, u64::MAX, 8_000), Tried::Later(..)));
}

#[test]
fn the_wait_counts_from_the_slot_that_asks() {
    let assignment = Head::empty(Id::sha256(b"p")).next(Draft::default(), 1_234, 5);
    let signer = weft_protocol::ans104::Ed25519Signer::from_seed([1; 32]);
    let signed = assignment.sign(&signer).unwrap();
    let result = wire::Result { assignment: signed.raw().clone(), ..wire::Result::default() };
    assert_eq!(sealed_at(&result), Some(1_234));
    assert_eq!(sealed_at(&wire::Result::default()), None);
}

#[test]
fn what_rests_is_left_alone_until_then_and_forgotten() {
    let id = |slot| CrankId { process: Id::sha256(b"p"), slot, kind: Kind::Assign, index: 0, target: 0 };
    let (mut resting, start) = (Resting(LruCache::new(RESTING)), Instant::now());
    let until = start + Duration::from_secs(8);
    resting.put(id(1), until);
    assert!(resting.holds(&id(1), start) && !resting.holds(&id(2), start));
    assert!(!resting.holds(&id(1), until));
    assert!(resting.0.is_empty());
    for slot in 0..=RESTING.get() as u64 {
        resting.put(id(slot), until);
    }
    assert_eq!(resting.0.len(), RESTING.get());
}
