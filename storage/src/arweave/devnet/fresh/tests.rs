//! What is found among the newest items, and what is left out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use serde_json::json;
use weft_protocol::ans104::{Ed25519Signer, ItemBuilder};

use super::*;

fn item(n: u8, tags: &[(&str, &str)]) -> DataItem {
    let tags: Vec<Tag> = tags.iter().map(|(name, value)| Tag::new(*name, *value)).collect();
    ItemBuilder::new().data(vec![n]).tags(tags).sign(&Ed25519Signer::from_seed([n; 32])).unwrap()
}

async fn ask(fresh: &Fresh, query: &str, variables: Value) -> FreshAnswer {
    let body = json!({ "query": query, "variables": variables }).to_string();
    fresh.ask(body.as_bytes()).await.unwrap().unwrap()
}

fn ids(answer: &FreshAnswer, list: &str) -> Vec<String> {
    let edges = answer.data[list]["edges"].as_array().unwrap();
    edges.iter().map(|edge| edge["node"]["id"].as_str().unwrap().to_owned()).collect()
}

const BY_TAG: &str = "query($after: String) { all: transactions(first: 2, after: $after,
    tags: [{name: \"Type\", values: [\"Process\"]}]) { pageInfo { hasNextPage } edges { cursor node { id block { height } } } } }";

#[tokio::test]
async fn items_are_found_by_tag_newest_first_and_paged() {
    let fresh = Fresh::new([]);
    let items: Vec<DataItem> = (1..=3).map(|n| item(n, &[("Type", "Process"), ("Name", &n.to_string())])).collect();
    items.iter().for_each(|item| fresh.add(item));
    fresh.add(&item(9, &[("Type", "Message")]));
    let first = ask(&fresh, BY_TAG, json!({})).await;
    assert_eq!(ids(&first, "all"), [items[2].id().to_string(), items[1].id().to_string()]);
    assert_eq!(first.lists, [("all".to_owned(), 2, false)]);
    assert_eq!(first.data["all"]["pageInfo"]["hasNextPage"], true);
    assert_eq!(first.data["all"]["edges"][0]["node"]["block"], Value::Null);
    let cursor = first.data["all"]["edges"][1]["cursor"].as_str().unwrap();
    let second = ask(&fresh, BY_TAG, json!({ "after": cursor })).await;
    assert_eq!(ids(&second, "all"), [items[0].id().to_string()]);
    assert_eq!(second.after, [cursor], "to be taken out of what the gateway is asked");
    let foreign = ask(&fresh, BY_TAG, json!({ "after": "WyIyMDI0LTAxLTAxIl0=" })).await;
    assert_eq!(ids(&foreign, "all"), [""; 0], "what is newest was on the page before");
    assert_eq!(fresh.oldest(2), [items[0].id(), items[1].id()]);
    fresh.forget(&[items[2].id(), Id::from_bytes([5; 32])].into());
    let rest = ask(&fresh, BY_TAG, json!({})).await;
    assert_eq!(ids(&rest, "all"), [items[1].id().to_string(), items[0].id().to_string()]);
    assert!(!fresh.has(&items[2].id()) && fresh.oldest(9).len() == 3);
}

#[tokio::test]
async fn locations_are_shown_to_who_asks_for_them() {
    let address = Id::from_bytes([7; 32]);
    let fresh = Fresh::new([address]);
    let everything = ask(&fresh, "{ transactions { edges { node { id } } } }", json!({})).await;
    assert_eq!(ids(&everything, "transactions"), [""; 0]);
    let query = "query($owner: String!) { transactions(owners: [$owner], first: 1, sort: HEIGHT_DESC,
        tags: [{name: \"Data-Protocol\", values: [\"ao\"]}, {name: \"Type\", values: [\"Scheduler-Location\"]}])
        { edges { node { id tags { name value } } } } }";
    let found = ask(&fresh, query, json!({ "owner": address })).await;
    let tags = found.data["transactions"]["edges"][0]["node"]["tags"].as_array().unwrap();
    assert!(tags.contains(&json!({ "name": "Url", "value": DOOR })), "{tags:?}");
    assert_eq!(found.found, [], "it is no item that a gateway could have");
    let other = ask(&fresh, query, json!({ "owner": Id::from_bytes([8; 32]) })).await;
    assert_eq!(ids(&other, "transactions"), [""; 0]);
}

#[tokio::test]
async fn the_oldest_goes_first_and_nonsense_is_nobodys() {
    let fresh = Fresh::new([]);
    let first = item(1, &[]);
    fresh.add(&first);
    fresh.add(&first);
    for n in 0..KEPT {
        let anchor = Id::sha256(&n.to_be_bytes());
        let signer = Ed25519Signer::from_seed([2; 32]);
        assert_eq!(fresh.has(&first.id()), n < KEPT, "{n}");
        fresh.add(&ItemBuilder::new().data(anchor.as_bytes().to_vec()).sign(&signer).unwrap());
    }
    assert!(!fresh.has(&first.id()));
    for body in ["", "{}", "{\"query\": \"{ no_such_field }\"}", "{\"query\": 1}"] {
        assert!(fresh.ask(body.as_bytes()).await.unwrap().is_none(), "{body}");
    }
    let one = format!("{{ transaction(id: \"{}\") {{ id }} }}", first.id());
    let gone = ask(&fresh, &one, json!({})).await;
    assert_eq!((gone.named, gone.found.len()), (vec![first.id()], 0));
}

/// Why a question is refused, if it is.
async fn refused(fresh: &Fresh, query: &str, variables: Value) -> Option<String> {
    let body = json!({ "query": query, "variables": variables }).to_string();
    fresh.ask(body.as_bytes()).await.err().map(|why| why.to_string())
}

#[tokio::test]
async fn long_filters_and_many_lists_are_refused() {
    let fresh = Fresh::new([]);
    let item = item(1, &[("Type", "Process")]);
    fresh.add(&item);
    let some = |count: usize| vec![item.id().to_string(); count];
    let lists = ["ids: [ID!]", "owners: [String!]", "recipients: [String!]", "bundledIn: [ID!]"];
    for (name, kind) in lists.map(|list| list.split_once(": ").unwrap()) {
        let query = format!("query($l: {kind}) {{ transactions({name}: $l) {{ edges {{ node {{ id }} }} }} }}");
        let why = refused(&fresh, &query, json!({ "l": some(101) })).await.expect(name);
        assert!(why.starts_with(&format!("`{name}` has 101 entries, at most 100")), "{why}");
        assert_eq!(refused(&fresh, &query, json!({ "l": some(100) })).await, None, "{name}");
        assert_eq!(ids(&ask(&fresh, &query, json!({ "l": ["no id"] })).await, "transactions"), [""; 0], "{name}");
        assert_eq!(ids(&ask(&fresh, &query, json!({ "l": [] })).await, "transactions").len(), 1, "{name}");
    }
    let query = "query($t: [TagFilter!]) { transactions(tags: $t) { edges { node { id } } } }";
    let tags = |filters: usize, values: usize| {
        let mut values = vec!["x"; values];
        values[0] = "Process";
        json!({ "t": vec![json!({ "name": "Type", "values": values }); filters] })
    };
    assert!(refused(&fresh, query, tags(1, 101)).await.unwrap().starts_with("`values` has 101 entries"));
    assert!(refused(&fresh, query, tags(21, 1)).await.unwrap().starts_with("`tags` has 21 entries"));
    assert_eq!(ids(&ask(&fresh, query, tags(20, 100)).await, "transactions"), [item.id().to_string()]);
    let blocks = "query($l: [ID!]) { blocks(ids: $l) { edges { node { id } } } }";
    assert!(refused(&fresh, blocks, json!({ "l": some(101) })).await.unwrap().starts_with("`ids` has 101 entries"));
    let many = |count: usize| {
        let lists: Vec<String> = (0..count).map(|n| format!("l{n}: transactions {{ edges {{ cursor }} }}")).collect();
        format!("{{ {} }}", lists.join(" "))
    };
    assert_eq!(refused(&fresh, &many(16), json!({})).await, None, "the bound is each question's own");
    assert!(refused(&fresh, &many(17), json!({})).await.unwrap().contains("at most 16 lists"));
    assert_eq!(refused(&fresh, &many(16), json!({})).await, None);
}
