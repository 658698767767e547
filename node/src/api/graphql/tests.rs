//! Joining a gateway's answer with what is here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;

fn list(ids: &[&str], more: bool) -> Value {
    let edges: Vec<Value> = ids.iter().map(|id| json!({ "cursor": id, "node": { "id": id } })).collect();
    json!({ "pageInfo": { "hasNextPage": more }, "edges": edges })
}

fn ours(rows: Value, first: usize, ascending: bool) -> FreshAnswer {
    FreshAnswer {
        data: json!({ "transactions": rows }),
        lists: vec![("transactions".to_owned(), first, ascending)],
        ..FreshAnswer::default()
    }
}

fn joined(theirs: Value, rows: Value, first: usize, ascending: bool) -> Value {
    join(json!({ "data": { "transactions": theirs } }), ours(rows, first, ascending))["data"]["transactions"].clone()
}

#[test]
fn the_newest_come_first_or_last_and_a_page_keeps_its_size() {
    let row = joined(list(&["a", "b"], false), list(&["new"], false), 3, false);
    assert_eq!(row, list(&["new", "a", "b"], false));
    let row = joined(list(&["a", "b"], false), list(&["new"], false), 2, false);
    assert_eq!(row, list(&["new", "a"], true), "what was pushed off the page is on the next one");
    let row = joined(list(&["a", "b"], true), list(&["new"], false), 2, true);
    assert_eq!(row, list(&["a", "b"], true), "the end is not on this page");
    let row = joined(list(&["a"], false), list(&["new"], false), 2, true);
    assert_eq!(row, list(&["a", "new"], false));
}

#[test]
fn without_a_gateway_what_is_here_is_the_answer() {
    let answer = join(Value::Null, ours(list(&["new"], false), 10, false));
    assert_eq!(answer["data"]["transactions"], list(&["new"], false));
    let single = FreshAnswer { data: json!({ "one": { "id": "x" }, "two": null }), ..FreshAnswer::default() };
    let answer = join(json!({ "data": { "one": null, "two": { "id": "y" } } }), single);
    assert_eq!(answer, json!({ "data": { "one": { "id": "x" }, "two": { "id": "y" } } }));
}

#[test]
fn our_cursors_and_our_place_are_put_right() {
    let body = Bytes::from(r#"{"query":"{t(after:\"x\")}","variables":{"after":"mine"}}"#);
    let passed = without_our_cursors(body.clone(), &["mine".to_owned()]);
    assert_eq!(passed, r#"{"query":"{t(after:\"x\")}","variables":{"after":""}}"#);
    assert_eq!(without_our_cursors(body.clone(), &[]), body);
    let mut data = json!({ "tags": [{ "name": "Url", "value": DOOR }] });
    name_door(&mut data, "http://here:1");
    assert_eq!(data["tags"][0]["value"], "http://here:1");
    assert!(is_empty(&json!({ "a": { "edges": [] }, "b": null })) && !is_empty(&json!({ "b": { "id": "x" } })));
}
