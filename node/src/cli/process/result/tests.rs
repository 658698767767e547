#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
use super::*;

#[test]
fn outputs_of_every_aos_generation() {
    let cases = [
        (json!({"Output": {"data": "2", "prompt": ">"}}), Some("2")),
        (json!({"Output": {"data": {"output": "2", "json": "{}"}}}), Some("2")),
        (json!({"Output": "plain"}), Some("plain")),
        (json!({"Output": ""}), None),
        (json!({"Output": {}}), None),
        (json!({"Output": null}), None),
        (json!({}), None),
        (json!({"Output": 7}), Some("7")),
    ];
    for (answer, want) in cases {
        assert_eq!(output_of(&answer).as_deref(), want, "{answer}");
    }
}

#[test]
fn errors_in_words() {
    let cases = [
        (json!({"Error": "attempt to call nil"}), Some("attempt to call nil")),
        (json!({"Error": {}}), Some("the evaluation was stopped (trap, or out of fuel)")),
        (json!({"Error": ""}), None),
        (json!({"Error": null}), None),
        (json!({"Output": "x"}), None),
    ];
    for (answer, want) in cases {
        assert_eq!(error_of(&answer).as_deref(), want, "{answer}");
    }
}

#[test]
fn an_outbox_is_a_table() {
    let answer = json!({"Messages": [{"Target": "T", "Data": "hi\nthere", "Tags": [{"name": "Action", "value": "Ping"}]}], "Spawns": [{}], "Assignments": [{}]});
    let text = outbox(&answer);
    assert!(
        text.contains("Ping") && text.contains("hi there") && text.contains("spawn") && text.contains("assignment"),
        "{text}"
    );
    assert_eq!(outbox(&json!({"Messages": []})), "");
}

#[test]
fn an_outbox_shows_what_stands_in_tags() {
    let tags = json!([{"name": "Type", "value": "Message"}, {"name": "Reference", "value": "7"}, {"name": "Ticker", "value": "PNTS"}]);
    let text = outbox(&json!({"Messages": [{"Target": "T", "Tags": tags}]}));
    assert!(text.ends_with("  Ticker=PNTS") && !text.contains("Reference"), "{text}");
}

#[test]
fn an_eval_that_was_none_says_so() {
    let why = not_evaluated(&json!({"Output": {"data": "New Message", "print": true}}), "BOB").unwrap();
    assert!(why.contains("BOB") && why.contains("--wallet"), "{why}");
    assert_eq!(not_evaluated(&json!({"Output": {"data": "2"}}), "BOB"), None);
}
