//! The newest items of a node, asked for in the words of Arweave's GraphQL: gateways index an item minutes after it was
//! ordered, clients ask for it at once.
//!
//! Where it sits: filled with what the node sees ordered; the node's `/graphql` asks here and at its gateway and joins the
//! answers. It uses the devnet's schema over a state that holds records only.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use bytes::Bytes;
use serde_json::Value;
use tokio::{runtime::Handle, sync::Semaphore};
use weft_protocol::{Id, ans104::DataItem, ans104::Tag};

use super::{
    graphql::{self, Gql, Source},
    query::{Filter, Found, Lists, Page, TooMuch},
    record::{FIRST_FRESH as FIRST, Header, Record, Records},
    state::{State, item_record},
};

/// Items kept; the oldest goes first. Gateways know them long before.
const KEPT: usize = 4_096;
/// Ids of one question that are looked at.
const MAX_IDS: usize = 100;
/// Questions that are looked into at once, each on a thread of its own; the others wait.
const AT_ONCE: usize = 2;
/// Type of the records that say where a scheduler is.
const LOCATION: &str = "Scheduler-Location";
/// What stands for the address that the client has asked, in answers before they are given.
pub const DOOR: &str = "weft:door";

/// The newest items, as records. Cheap to clone.
#[derive(Clone)]
pub struct Fresh {
    schema: Gql,
    state: Arc<RwLock<State>>,
    order: Arc<Mutex<VecDeque<Id>>>,
    /// Records that are shown only to who asks for their type.
    locations: Arc<HashSet<Id>>,
    turns: Arc<Semaphore>,
}

/// What a question found here.
#[derive(Debug, Default)]
pub struct FreshAnswer {
    /// The `data` of the answer.
    pub data: Value,
    /// Items found, in no order.
    pub found: Vec<Id>,
    /// Ids that the question names.
    pub named: Vec<Id>,
    /// For every list of transactions in the answer: its member, its length at most, and whether oldest come first.
    pub lists: Vec<(String, usize, bool)>,
    /// The cursors given with it, which no gateway knows, that the question went on from.
    pub after: Vec<String>,
}

impl Fresh {
    /// Nothing but the place of these schedulers' addresses: the node itself, whichever way it is reached.
    pub fn new(schedulers: impl IntoIterator<Item = Id>) -> Self {
        let mut state = State { records: Records::numbered_from(FIRST), ..State::default() };
        let mut locations = HashSet::new();
        for address in schedulers {
            let record = location(address);
            locations.insert(record.id);
            state.records.insert(record);
        }
        let state = Arc::new(RwLock::new(state));
        let schema = graphql::schema(Source::Fresh(Arc::clone(&state)));
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        Self { schema, state, order: Arc::default(), locations: Arc::new(locations), turns }
    }

    /// Takes in an item that was checked.
    pub fn add(&self, item: &DataItem) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.records.get(&item.id()).is_some() {
            return;
        }
        state.records.insert(item_record(item, None));
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        order.push_back(item.id());
        if order.len() > KEPT
            && let Some(oldest) = order.pop_front()
        {
            state.records.forget(oldest);
        }
    }

    /// Whether an item is held.
    pub fn has(&self, id: &Id) -> bool {
        self.state.read().unwrap_or_else(PoisonError::into_inner).records.get(id).is_some()
    }

    /// Lets go of items that gateways know.
    pub fn forget(&self, known: &HashSet<Id>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = |id: &Id| known.contains(id) && !self.locations.contains(id);
        order.iter().filter(|id| gone(id)).for_each(|id| {
            state.records.forget(*id);
        });
        order.retain(|id| !gone(id));
    }

    /// Those held longest, at most `count`.
    pub fn oldest(&self, count: usize) -> Vec<Id> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner).iter().take(count).copied().collect()
    }

    /// Answers a GraphQL request; `None` if it is none that this schema understands.
    ///
    /// # Errors
    /// It asks for more than is looked into at once.
    pub async fn ask(&self, body: &[u8]) -> Result<Option<FreshAnswer>, TooMuch> {
        let Ok(request) = serde_json::from_slice::<async_graphql::Request>(body) else { return Ok(None) };
        // Never closed; were it, questions would only be less bounded.
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let (fresh, runtime) = (self.clone(), Handle::current());
        // Looking through all records takes a thread for itself, and goes on when the asker does not wait.
        let looked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            runtime.block_on(fresh.look(request))
        });
        looked.await.unwrap_or(Ok(None))
    }

    async fn look(&self, request: async_graphql::Request) -> Result<Option<FreshAnswer>, TooMuch> {
        let notes = Arc::new(Mutex::new(FreshAnswer::default()));
        let asked = Asked { notes: Arc::clone(&notes), locations: Arc::clone(&self.locations) };
        let answer = self.schema.execute(request.data(asked).data(Lists::default())).await;
        if let Some(why) = answer.errors.iter().find_map(|error| error.source::<TooMuch>()) {
            return Err(why.clone());
        }
        let data = answer.data.into_json().ok().filter(|_| answer.errors.is_empty());
        let Some(data) = data else { return Ok(None) };
        let mut out = std::mem::take(&mut *notes.lock().unwrap_or_else(PoisonError::into_inner));
        out.data = data;
        Ok(Some(out))
    }
}

/// Where an address's scheduler is: at the node that was asked.
fn location(address: Id) -> Record {
    let tags = [
        ("Data-Protocol", "ao"),
        ("Variant", "ao.TN.1"),
        ("Type", LOCATION),
        ("Url", DOOR),
        ("Time-To-Live", "3600000"),
    ];
    let header = Header { owner: Bytes::new(), address, signature: Bytes::new(), target: None, anchor: String::new() };
    Record {
        id: Id::sha256(format!("weft/scheduler-location/{address}").as_bytes()),
        header,
        tags: tags.into_iter().map(|(name, value)| Tag::new(name, value)).collect(),
        money: None,
        size: 0,
        seq: 0,
        height: None,
        own: None,
        parents: Vec::new(),
    }
}

/// What goes with one question: notes of what it asked and found.
pub(super) struct Asked {
    notes: Arc<Mutex<FreshAnswer>>,
    locations: Arc<HashSet<Id>>,
}

impl Asked {
    /// Ids that are left out of a list: the records of locations, unless they are asked for.
    pub fn skip(&self, filter: &Filter) -> HashSet<Id> {
        if filter.wants("Type", LOCATION) { HashSet::new() } else { HashSet::clone(&self.locations) }
    }

    /// Notes what a list of transactions asked for and found.
    pub fn note(&self, member: &str, filter: &Filter, page: &Page, found: &mut Found) {
        // A page after somebody else's cursor: what is newest was on an earlier one.
        if page.is_foreign() && !page.ascending {
            *found = Found::default();
        }
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.found.extend(found.0.iter().map(|(_, id)| *id).filter(|id| !self.locations.contains(id)));
        notes.lists.push((member.to_owned(), page.len(), page.ascending));
        let room = MAX_IDS.saturating_sub(notes.named.len());
        notes.named.extend(filter.ids.iter().flatten().take(room));
        notes.after.extend(page.after.iter().filter(|_| page.is_fresh()).cloned());
    }

    /// Notes an item asked for by itself.
    pub fn note_id(&self, id: Id, is_here: bool) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.named.len() < MAX_IDS {
            notes.named.push(id);
        }
        if is_here {
            notes.found.push(id);
        }
    }
}

#[cfg(test)]
mod tests;
