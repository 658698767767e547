//! GraphQL: what gateways index, and before it what the network has ordered lately and gateways do not know yet.
//!
//! A question is asked here and at the gateway, and the lists are joined. A gateway that is down leaves what is here.

use std::{collections::HashSet, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use weft_protocol::Id;
use weft_storage::arweave::devnet::{DOOR, FreshAnswer, TooMuch};

use super::{Api, DoorError, ErrorKind};

/// How long other nodes may take to say whether they have an item that is named.
const ASK_NODES: Duration = Duration::from_secs(1);
/// Items that one question has fetched from other nodes.
const FETCHED: usize = 16;
/// Times that a question is asked here again because the gateway knew what it found.
const ROUNDS: usize = 8;
/// Ids in one question to the gateway whether it knows them.
const IDS_AT_ONCE: usize = 100;

impl Api {
    /// Answers a GraphQL request; `door` is the address by which the client has reached this node.
    pub(super) async fn ask_graphql(&self, body: Bytes, door: &str) -> Result<Bytes, DoorError> {
        let fresh = &self.behind().finder.fresh;
        let Some(first) = fresh.ask(&body).await.map_err(too_much)? else {
            return self.pass_graphql(body).await;
        };
        self.fetch_named(&first).await;
        let mut unknown: HashSet<Id> = HashSet::new();
        for _round in 0..ROUNDS {
            let Some(local) = fresh.ask(&body).await.map_err(too_much)? else { break };
            let doubtful: HashSet<Id> = local.found.iter().filter(|id| !unknown.contains(*id)).copied().collect();
            let known = self.known_at_gateway(&doubtful).await;
            if known.is_disjoint(&doubtful) {
                return self.joined(body, local, door).await;
            }
            fresh.forget(&known);
            unknown.extend(doubtful.difference(&known));
        }
        self.pass_graphql(body).await
    }

    /// The gateway's answer with what is here; of what is here alone if no gateway answers.
    async fn joined(&self, body: Bytes, mut local: FreshAnswer, door: &str) -> Result<Bytes, DoorError> {
        let passed = self.pass_graphql(without_our_cursors(body, &local.after)).await;
        if is_empty(&local.data) {
            return passed;
        }
        name_door(&mut local.data, door);
        let answer = passed.inspect_err(|error| tracing::debug!(%error, "GraphQL is answered without a gateway"));
        let answer = answer.ok().and_then(|answer| serde_json::from_slice(&answer).ok()).unwrap_or_default();
        Ok(join(answer, local).to_string().into())
    }

    /// Takes in items that the question names, that no gateway knows and another node has.
    async fn fetch_named(&self, asked: &FreshAnswer) {
        let finder = &self.behind().finder;
        let missing: HashSet<Id> = asked.named.iter().filter(|id| !finder.fresh.has(id)).copied().collect();
        let known = self.known_at_gateway(&missing).await;
        let wanted = missing.difference(&known).take(FETCHED);
        let found = futures::future::join_all(wanted.map(|id| finder.item_from_nodes(id)));
        let found = tokio::time::timeout(ASK_NODES, found).await.unwrap_or_default();
        found.into_iter().flatten().for_each(|item| finder.fresh.add(&item));
    }

    /// Which of these, and of those held longest here, the gateway has: it says more about them (blocks, bundles) than this
    /// node could.
    async fn known_at_gateway(&self, ids: &HashSet<Id>) -> HashSet<Id> {
        const QUERY: &str = "query($ids:[ID!]!){transactions(ids:$ids,first:100){edges{node{id}}}}";
        if ids.is_empty() {
            return HashSet::new();
        }
        let oldest = self.behind().finder.fresh.oldest(IDS_AT_ONCE);
        let asked: Vec<&Id> = ids.iter().chain(&oldest).take(IDS_AT_ONCE).collect();
        let answer = self.gateway().graphql(QUERY, json!({ "ids": asked })).await.unwrap_or_default();
        let edges = answer.pointer("/transactions/edges").and_then(Value::as_array);
        let id = |edge: &Value| edge.pointer("/node/id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        edges.into_iter().flatten().filter_map(id).collect()
    }

    async fn pass_graphql(&self, body: Bytes) -> Result<Bytes, DoorError> {
        let answer = self.gateway().graphql_raw(body).await;
        answer.map_err(|e| DoorError::new(ErrorKind::BadGateway, e.to_string()))
    }
}

fn too_much(why: TooMuch) -> DoorError {
    DoorError::new(ErrorKind::BadRequest, format!("query: {why}"))
}

/// The list in a connection.
fn edges(connection: &Value) -> Option<&Vec<Value>> {
    connection.get("edges").and_then(Value::as_array)
}

/// Whether an answer has no item and no row.
fn is_empty(data: &Value) -> bool {
    let empty = |member: &Value| match edges(member) {
        Some(edges) => edges.is_empty(),
        None => member.is_null(),
    };
    data.as_object().is_none_or(|members| members.values().all(empty))
}

/// The request with its page's beginning taken out where that is a cursor of this node: gateways do not know it.
fn without_our_cursors(body: Bytes, cursors: &[String]) -> Bytes {
    match std::str::from_utf8(&body) {
        Ok(text) if !cursors.is_empty() => {
            let text =
                cursors.iter().fold(text.to_owned(), |text, cursor| text.replace(&format!("\"{cursor}\""), "\"\""));
            text.into()
        }
        _ => body,
    }
}

/// Puts the client's own address for this node where its place is asked for.
fn name_door(value: &mut Value, door: &str) {
    match value {
        Value::String(text) if text == DOOR => door.clone_into(text),
        Value::Array(list) => list.iter_mut().for_each(|one| name_door(one, door)),
        Value::Object(members) => members.values_mut().for_each(|one| name_door(one, door)),
        _ => {}
    }
}

/// The gateway's answer with what is here: at the beginning of a list that has the newest first, at the end of the others.
fn join(mut answer: Value, local: FreshAnswer) -> Value {
    let FreshAnswer { mut data, lists, .. } = local;
    let Some(theirs) = answer.get_mut("data").and_then(Value::as_object_mut) else {
        return json!({ "data": data });
    };
    for (member, first, ascending) in lists {
        let Some(ours) = data.get_mut(&member).map(Value::take) else { continue };
        let there = theirs.entry(member).or_insert(Value::Null);
        join_list(there, ours, first, ascending);
    }
    for (member, ours) in data.as_object().into_iter().flatten() {
        let there = theirs.entry(member.clone()).or_insert(Value::Null);
        if there.is_null() {
            *there = ours.clone();
        }
    }
    answer
}

fn join_list(there: &mut Value, ours: Value, first: usize, ascending: bool) {
    let rows = edges(&ours).cloned().unwrap_or_default();
    let Some(list) = there.get_mut("edges").and_then(Value::as_array_mut) else {
        if there.is_null() {
            *there = ours;
        }
        return;
    };
    match ascending {
        true if list.len() < first => list.extend(rows),
        true => return,
        false => {
            list.splice(0..0, rows);
        }
    }
    let more = list.len() > first || ours.pointer("/pageInfo/hasNextPage") == Some(&Value::Bool(true));
    list.truncate(first);
    if let Some(flag) = there.pointer_mut("/pageInfo/hasNextPage")
        && more
    {
        *flag = Value::Bool(true);
    }
}

#[cfg(test)]
mod tests;
