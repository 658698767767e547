//! Logs, items and receipts.

use std::sync::PoisonError;

use bytes::Bytes;
use serde_json::{Value, json};
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    assignment::Assignment,
    attestation::signer_key,
    keys::NodeKey,
    wire::{self, LogEntry},
};
use weft_storage::arweave::gateway::{GatewayError, Passed};

use super::{Api, DoorError, Entry, ErrorKind, LogPage, LogRange, PassedOn, Receipt, Stored, call_error};
use crate::{
    door::{Beside, Level},
    scheduler::{StoredEntry, entry_content, id_bytes},
};

/// Entries asked for at once.
const PAGE: u32 = 500;

impl Api {
    pub(super) async fn log_of(&self, process: Id, range: LogRange) -> Result<LogPage, DoorError> {
        let mut out = LogPage { entries: Vec::new(), next_slot: 0 };
        let mut from = range.from_slot;
        if let Some(after) = range.after_ms.filter(|_| range.from_slot == 0) {
            from = self.first_after(process, after).await?;
        }
        while out.entries.len() < usize::try_from(range.limit).unwrap_or(usize::MAX) {
            let page = self.page(process, from, PAGE.min(range.limit)).await?;
            out.next_slot = page.next_slot;
            let Some(last) = page.entries.last().and_then(|e| StoredEntry::read(e.clone())) else { break };
            from = last.assignment.slot.saturating_add(1);
            for entry in page.entries.into_iter().filter_map(StoredEntry::read) {
                let at = entry.assignment.timestamp;
                if entry.assignment.slot > range.to_slot || range.until_ms.is_some_and(|until| at > until) {
                    return Ok(out);
                }
                if range.after_ms.is_none_or(|after| at > after)
                    && out.entries.len() < usize::try_from(range.limit).unwrap_or(0)
                {
                    out.entries.push(shown(entry));
                }
            }
            if from >= out.next_slot {
                break;
            }
        }
        Ok(out)
    }

    /// The first slot whose timestamp is greater than `after`: timestamps grow, so the log is halved.
    async fn first_after(&self, process: Id, after: u64) -> Result<u64, DoorError> {
        let (mut low, mut high) = (0, self.page(process, 0, 1).await?.next_slot);
        while low < high {
            let middle = low + (high - low) / 2;
            let page = self.page(process, middle, 1).await?;
            let at = page.entries.into_iter().next().and_then(StoredEntry::read).map(|e| e.assignment.timestamp);
            match at {
                Some(at) if at <= after => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    async fn page(&self, process: Id, from_slot: u64, limit: u32) -> Result<wire::LogPage, DoorError> {
        let scheduler = self.locate(&process).await?.scheduler;
        let query = wire::LogQuery { process: id_bytes(&process), from_slot, limit, find: Bytes::new() };
        let page = self.behind().peers.log(scheduler, query).await.map_err(|e| call_error(&e))?;
        page.entries.iter().try_for_each(|entry| check_entry(entry, &process, &scheduler))?;
        Ok(page)
    }

    pub(super) async fn entry_of(&self, process: Id, id: Id) -> Result<Entry, DoorError> {
        self.stored_entry(process, id).await.map(shown)
    }

    async fn stored_entry(&self, process: Id, id: Id) -> Result<StoredEntry, DoorError> {
        let scheduler = self.locate(&process).await?.scheduler;
        let query = wire::LogQuery { process: id_bytes(&process), from_slot: 0, limit: 1, find: id_bytes(&id) };
        let page = self.behind().peers.log(scheduler, query).await.map_err(|e| call_error(&e))?;
        page.entries.iter().try_for_each(|entry| check_entry(entry, &process, &scheduler))?;
        let entry: Option<LogEntry> = page.entries.into_iter().next();
        entry.and_then(StoredEntry::read).ok_or_else(|| {
            DoorError::new(ErrorKind::NotFound, format!("process {process} has no message or assignment {id}"))
        })
    }

    pub(super) async fn receipt_of(&self, process: Id, message: Id) -> Result<Receipt, DoorError> {
        let located = self.locate(&process).await;
        let entry = match self.stored_entry(process, message).await {
            Ok(entry) => entry,
            Err(_) => match self.accepted_receipt(process, message).await {
                Some(receipt) => return Ok(receipt),
                // It may have been sealed between the two looks.
                None => self.stored_entry(process, message).await?,
            },
        };
        let located = located?;
        let (slot, assignment) = (entry.assignment.slot, entry.assignment_id);
        let mut receipt = Receipt {
            id: entry.assignment.message,
            process,
            slot: Some(slot),
            level: Level::Sealed,
            assignment: Some(assignment),
            scheduler: self.node_ref(&located.scheduler),
            provider: None,
            attestation: None,
            anchor: None,
            cast: entry.assignment.terms.cast.is_some(),
        };
        let range = crate::door::ResultsRange { from_slot: slot, to_slot: slot, limit: 1, descending: false };
        if let Some(result) =
            self.results_of(process, range).await.ok().and_then(|page| page.results.into_iter().next())
        {
            let item = DataItem::parse(result.attestation, Profile::History).ok();
            receipt.level = Level::Attested;
            receipt.provider = item.as_ref().and_then(signer_key).map(|key| self.node_ref(&key));
            receipt.attestation = item.map(|item| item.id());
        }
        // An assigned item was on Arweave, or in another log, before: only the assignment is this log's to anchor.
        let ids = match entry.assignment.assigned {
            Some(_) => vec![assignment],
            None => vec![assignment, entry.assignment.message],
        };
        if let Some(anchor) = self.anchored(&ids).await {
            let deep = anchor.get("confirmed").and_then(Value::as_bool).unwrap_or(false);
            if deep && receipt.level == Level::Attested {
                receipt.level = Level::Anchored;
            }
            receipt.anchor = Some(anchor);
        }
        Ok(receipt)
    }

    /// The receipt of an item that this node has accepted and that is not sealed yet.
    async fn accepted_receipt(&self, process: Id, message: Id) -> Option<Receipt> {
        let held = self.0.pending.lock().unwrap_or_else(PoisonError::into_inner).has(process, message);
        let located = self.behind().directory.known(&process);
        let scheduler = located.map(|l| self.node_ref(&l.scheduler)).unwrap_or_default();
        held.then_some(Receipt {
            id: message,
            process,
            slot: None,
            level: Level::Accepted,
            assignment: None,
            scheduler,
            provider: None,
            attestation: None,
            anchor: None,
            cast: false,
        })
    }

    /// Where items stand on Arweave, as the gateway says now: the least deep of them; `None` while one is not in a block.
    async fn anchored(&self, ids: &[Id]) -> Option<Value> {
        const QUERY: &str =
            "query($ids:[ID!]!){transactions(ids:$ids,first:10){edges{node{id bundledIn{id} block{height id}}}}}";
        let answer = self.gateway().graphql(QUERY, json!({ "ids": ids })).await.ok()?;
        let edges = answer.pointer("/transactions/edges").and_then(Value::as_array)?;
        let node_of = |id: &Id| {
            let text = id.to_string();
            edges.iter().filter_map(|e| e.get("node")).find(|n| n.get("id").and_then(Value::as_str) == Some(&text))
        };
        let height_of = |node: &Value| node.pointer("/block/height").and_then(Value::as_u64);
        let nodes: Vec<&Value> = ids.iter().map(node_of).collect::<Option<_>>()?;
        let heights: Vec<u64> = nodes.iter().map(|node| height_of(node)).collect::<Option<_>>()?;
        let height = heights.into_iter().max()?;
        let tip = self.gateway().height().await.ok()?;
        let confirmations = tip.saturating_sub(height).saturating_add(1);
        let wanted = u64::from(self.network().parameters().anchor.confirmations);
        Some(json!({
            "bundle": nodes.first()?.pointer("/bundledIn/id"),
            "block": height,
            "confirmations": confirmations,
            "confirmed": confirmations >= wanted,
        }))
    }

    pub(super) async fn stored_item(&self, id: Id) -> Result<Stored, DoorError> {
        if let Some(item) = self.behind().finder.item_from_nodes(&id).await {
            let tags = item.tags().iter().map(|t| (t.name.clone(), t.value.clone())).collect();
            return Ok(Stored { id, tags, data: item.data() });
        }
        match self.gateway().fetch(&id).await {
            Ok(found) => {
                let tags = found.tags.into_iter().map(|t| (t.name, t.value)).collect();
                Ok(Stored { id, tags, data: found.data })
            }
            Err(GatewayError::NotFound(_)) => {
                Err(DoorError::new(ErrorKind::NotFound, format!("no node and no gateway knows {id}")))
            }
            Err(error) => Err(DoorError::new(ErrorKind::BadGateway, error.to_string())),
        }
    }

    /// Hands a request on to the gateway and its answer back: status, media type, body.
    pub(super) async fn pass_on(&self, path: String, body: Option<Bytes>) -> Result<PassedOn, DoorError> {
        match self.gateway().pass(&path, body).await {
            Ok(Passed { status, kind, body }) => Ok(PassedOn { status, kind, body }),
            Err(GatewayError::NotFound(_)) => {
                Err(DoorError::new(ErrorKind::NotFound, format!("no gateway has anything at {path}")))
            }
            Err(error) => Err(DoorError::new(ErrorKind::BadGateway, error.to_string())),
        }
    }
}

/// That an entry is what its scheduler signed: the assignment is of this process, and the item is the one it names.
fn check_entry(entry: &LogEntry, process: &Id, scheduler: &NodeKey) -> Result<(), DoorError> {
    let wrong = |why: String| {
        DoorError::new(ErrorKind::BadGateway, format!("the scheduler gave a log entry that does not hold: {why}"))
    };
    let item = crate::verified::item(entry.assignment.clone(), Profile::Strict).map_err(|e| wrong(e.to_string()))?;
    let assignment = Assignment::read(&item).map_err(|e| wrong(e.to_string()))?;
    if signer_key(&item) != Some(*scheduler) || assignment.process != *process {
        return Err(wrong("its assignment is not this scheduler's for this process".into()));
    }
    match entry_content(entry, &assignment) {
        Some(_) => Ok(()),
        None => Err(wrong("its item is not the one assigned".into())),
    }
}

fn shown(entry: StoredEntry) -> Entry {
    Entry {
        slot: entry.assignment.slot,
        assignment: entry.wire.assignment,
        item: entry.wire.item,
        pure_assignment: entry.assignment.assigned.is_some(),
        beside: Beside { assigned: entry.wire.assigned, reads: entry.wire.reads },
    }
}
