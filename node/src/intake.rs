//! What a scheduler accepts: the checks between a request for a slot and an [`Order`].
//!
//! Where it sits: called by the inbound router for peers and by nobody else (this node's own door asks through the network
//! handle like everybody). Nothing a peer says is believed: signatures, ids, the election and crank proofs are checked here.

use std::time::Duration;

use bytes::Bytes;
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    assignment::{Assigned, Draft, check_exclude},
    crank::{self, CRANK_TAG, Delivery},
    cron,
    message::{Content, is_excluded},
    network::Role,
    reads::{self, ReadPath},
    refusal::Code,
    settlement,
    terms::{Kind, Occasion, Terms},
    wire::{self, CrankProof, Refusal},
};

use crate::{
    assigned::{Asked, FindError, Finder, Found, ReadsError, Wanted, content_of_transaction},
    directory::Directory,
    scheduler::{Order, SchedulerHandle},
};

/// Longest that an item to be assigned may take to find: the order lane waits 10 s.
const FIND: Duration = Duration::from_secs(8);
/// What somebody who waits for confirmations is told to wait for each: some are mined in two seconds, on Arweave itself in
/// two minutes.
const PER_BLOCK_MS: u64 = 2_000;
/// … and at most.
const LONGEST_PAUSE_MS: u64 = 60_000;

/// What the checks need. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    /// Who orders what.
    pub directory: Directory,
    /// The scheduler of this node.
    pub scheduler: SchedulerHandle,
    /// Finds items to be assigned.
    pub finder: Finder,
}

/// What an AO item asks for.
pub enum Purpose {
    /// A new process.
    Process,
    /// A message for this process.
    Message(Id),
}

/// Reads what an item asks for; the reason names the tag and the value. A process's crons and its settlement depth must be
/// such that they can be carried out: they cannot be changed later.
pub fn purpose(item: &DataItem) -> Result<Purpose, String> {
    if item.tag("Data-Protocol") != Some("ao") {
        return Err(format!("tag Data-Protocol = {:?}: must be \"ao\"", item.tag("Data-Protocol").unwrap_or_default()));
    }
    let kind = item.tags().iter().filter(|t| t.name == "Type").map(|t| t.value.as_str());
    match kind.into_iter().find(|v| ["Process", "Message"].contains(v)) {
        Some("Process") => match item.tag("Module").map(str::parse::<Id>) {
            Some(Ok(_)) => {
                settlement::check(item.tags())?;
                cron::read(item.tags()).map(|_| Purpose::Process).map_err(|e| e.to_string())
            }
            Some(Err(e)) => Err(format!("tag Module: {e}")),
            None => Err("tag Module is missing: a process names the module that evaluates it".into()),
        },
        Some(_) => match item.target() {
            Some(target) => Ok(Purpose::Message(target)),
            None => Err("a message needs a target: the id of the process it is for".into()),
        },
        None => {
            Err(format!("tag Type = {:?}: must be \"Process\" or \"Message\"", item.tag("Type").unwrap_or_default()))
        }
    }
}

/// Why an item with a tag that only ticks have is not taken from outside.
pub fn no_tick(tag: &str) -> String {
    format!("tag {tag} marks what a scheduler itself sends for a process's crons: leave it out")
}

impl Intake {
    fn max_bytes(&self) -> usize {
        usize::try_from(self.directory.network().parameters().max_item_bytes).unwrap_or(usize::MAX)
    }

    /// Orders an item, as a peer asks.
    ///
    /// # Errors
    /// A refusal with the first check that fails.
    pub async fn submit(&self, request: wire::Submit) -> Result<wire::Sealed, Refusal> {
        let (item, crank) = match &request.proof {
            Some(proof) => self.cranked(proof, &request.item)?,
            None => (self.plain(request.item)?, None),
        };
        let process = match purpose(&item).map_err(|why| Code::BadItem.refuse(why))? {
            Purpose::Process => self.own_spawn(&item)?,
            Purpose::Message(target) => self.own_process(&target)?,
        };
        self.order(process, &item, crank, request.proof).await
    }

    /// Orders a message or process item, with what it may read.
    async fn order(
        &self,
        process: Id,
        item: &DataItem,
        crank: Option<String>,
        proof: Option<CrankProof>,
    ) -> Result<wire::Sealed, Refusal> {
        let mut draft = Draft { message: item.id(), crank, ..Draft::default() };
        let spent = item.raw().len().saturating_add(proof.as_ref().map_or(0, |proof| proof.entry.len()));
        let (terms, reads) = self.terms(process, &draft, item, self.max_bytes().saturating_sub(spent)).await?;
        draft.terms = terms;
        let order = Order { process, draft, item: item.raw().clone(), assigned: Bytes::new(), reads, proof };
        self.scheduler.order(order).await
    }

    /// What the scheduler signs about a message, with the contents it may read: at most `most` bytes.
    async fn terms(
        &self,
        process: Id,
        draft: &Draft,
        item: &DataItem,
        most: usize,
    ) -> Result<(Terms, Vec<wire::Read>), Refusal> {
        let owner = item.signer_address();
        let occasion = Occasion::ahead(process, draft, item.tags(), &owner);
        let is_process = occasion.kind == Kind::Process;
        if draft.crank.is_none() {
            reads::check_tags(item.tags(), is_process).map_err(|e| Code::BadItem.refuse(e.to_string()))?;
        }
        let paths = occasion.reads();
        // What has its slot is told that slot; nothing is fetched for it again.
        if paths.is_empty() || self.has_slot(&process, draft)? {
            return Ok((occasion.terms(Vec::new(), Vec::new()), Vec::new()));
        }
        let on_boot = item.tag("On-Boot").filter(|_| is_process).and_then(|id| id.parse().ok());
        let asked = Asked { paths, optional: on_boot.map(ReadPath::Data), crank: draft.crank.as_deref(), most };
        let (fixed, held) = self.finder.reads(asked).await.map_err(|error| refusal_of_reads(&error))?;
        Ok((occasion.terms(Vec::new(), fixed), held))
    }

    fn has_slot(&self, process: &Id, draft: &Draft) -> Result<bool, Refusal> {
        let log = self.scheduler.log();
        let fault = |e: weft_storage::store::StoreError| Code::Internal.refuse(e.to_string());
        let by_crank =
            draft.crank.as_ref().map(|crank| log.slot_of_crank(process, crank)).transpose().map_err(fault)?;
        Ok(by_crank.flatten().is_some() || log.slot_of(process, &draft.message).map_err(fault)?.is_some())
    }

    /// That this scheduler was elected for (or is pinned by) a spawn item.
    fn own_spawn(&self, item: &DataItem) -> Result<Id, Refusal> {
        let elected = self.directory.scheduler_for(item).map_err(|e| Code::BadItem.refuse(e.to_string()))?;
        if elected != self.finder.peers.network().key() {
            let name = self.directory.name(&elected);
            return Err(Code::NotHere.refuse(format!("process {} is ordered by {name}, not by this node", item.id())));
        }
        Ok(item.id())
    }

    fn own_process(&self, process: &Id) -> Result<Id, Refusal> {
        match self.scheduler.log().head(process) {
            Ok(Some(_)) => Ok(*process),
            Ok(None) => Err(Code::UnknownProcess.refuse(format!("process {process} has no log on this scheduler"))),
            Err(error) => Err(Code::Internal.refuse(error.to_string())),
        }
    }

    /// An ordinary item, checked.
    fn plain(&self, raw: Bytes) -> Result<DataItem, Refusal> {
        let limit = self.max_bytes();
        if raw.len() > limit {
            return Err(Code::TooLarge.refuse(format!("the item has {} bytes; this network allows {limit}", raw.len())));
        }
        let item = crate::verified::item(raw, Profile::Strict)
            .map_err(|e| Code::BadItem.refuse(format!("not a valid data item: {e}")))?;
        if item.tag(CRANK_TAG).is_some() {
            let why = format!("the item claims to come out of a process (tag {CRANK_TAG}) but brings no proof");
            return Err(Code::BadProof.refuse(why));
        }
        match cron::claims_tick(&item) {
            Some(tag) => Err(Code::Forbidden.refuse(no_tick(tag))),
            None => Ok(item),
        }
    }

    /// The item that a proof is for, made from the proof, and its crank identity. An item sent along must be the same.
    fn cranked(&self, proof: &CrankProof, sent: &Bytes) -> Result<(DataItem, Option<String>), Refusal> {
        let proven = self.prove(proof)?;
        match proven.delivery {
            Delivery::Item(item) if sent.is_empty() || sent == item.raw() => Ok((item, Some(proven.id.to_string()))),
            _ => Err(Code::BadProof.refuse("the proof is for another item")),
        }
    }

    fn prove(&self, proof: &CrankProof) -> Result<crank::Proven, Refusal> {
        let network = self.directory.network();
        let quorum = usize::from(network.parameters().compute.quorum);
        let may_attest = |key: &_| network.member(key).is_some_and(|m| m.roles.contains(&Role::Compute));
        crank::verify(proof, &network.id(), quorum, may_attest).map_err(|e| Code::BadProof.refuse(e.to_string()))
    }

    /// Assigns an existing item or transaction, as a peer asks.
    ///
    /// # Errors
    /// A refusal with the first check that fails.
    pub async fn assign(&self, request: wire::Assign) -> Result<wire::Sealed, Refusal> {
        let bad = |field: &str| Code::BadItem.refuse(format!("`{field}` is not 32 bytes"));
        let process = Id::from_slice(&request.process).ok_or_else(|| bad("process"))?;
        let tx = Id::from_slice(&request.tx).ok_or_else(|| bad("tx"))?;
        check_exclude(&request.exclude).map_err(|why| Code::BadItem.refuse(why))?;
        self.own_process(&process)?;
        let crank = self.check_assign_crank(&request, process, tx)?;
        let wanted = Wanted {
            base_layer: request.base_layer,
            without_data: is_excluded(&request.exclude, "Data"),
            depth: self.directory.settlement_depth(self.directory.known(&process).as_ref()),
            most: self.max_bytes(),
        };
        let late = || FindError::Unavailable { what: tx.to_string(), reason: "no gateway gave it in time".into() };
        let found = tokio::time::timeout(FIND, self.finder.find(&tx, wanted)).await.unwrap_or_else(|_| Err(late()));
        let found = found.map_err(|error| refusal_of(&error, Code::NotFound))?;
        if let Found::Item(item) = &found
            && item.target() == Some(process)
            && matches!(purpose(item), Ok(Purpose::Message(_)))
        {
            return self.own_message(process, item).await;
        }
        let mut draft = Draft { message: tx, crank, ..Draft::default() };
        let (item, assigned) = match found {
            Found::Item(item) => {
                draft.assigned = Some(Assigned::Item);
                draft.terms = assigned_terms(process, &draft, &Content::of_item(&item), request.exclude);
                (item.raw().clone(), Bytes::new())
            }
            Found::Transaction(json) => {
                // What cannot be read from the log later would stop its process for good.
                let content = content_of_transaction(&json, tx, &request.exclude).ok_or_else(|| {
                    Code::BadItem.refuse(format!("transaction {tx} does not verify as the gateway gives it"))
                })?;
                draft.assigned = Some(Assigned::BaseLayer);
                draft.terms = assigned_terms(process, &draft, &content, request.exclude);
                (Bytes::new(), json)
            }
        };
        if item.len().max(assigned.len()) > self.max_bytes() {
            return Err(Code::TooLarge
                .refuse(format!("{tx} is larger than the {} bytes this network allows", self.max_bytes())));
        }
        self.scheduler.order(Order { process, draft, item, assigned, reads: Vec::new(), proof: request.proof }).await
    }

    /// A message that is addressed to the process anyway takes its one slot as what it is. Otherwise whoever is first could
    /// have it ordered without its data, or a cranked one without its proof, and the real one would be told that it has a slot.
    async fn own_message(&self, process: Id, item: &DataItem) -> Result<wire::Sealed, Refusal> {
        let message = item.id();
        let there =
            self.scheduler.log().slot_of(&process, &message).map_err(|e| Code::Internal.refuse(e.to_string()))?;
        // Anybody can make a tick's item; when it is due only its scheduler says.
        if let Some(tag) = cron::claims_tick(item).filter(|_| there.is_none()) {
            return Err(Code::Forbidden.refuse(no_tick(tag)));
        }
        if there.is_none() && item.tag(CRANK_TAG).is_some() {
            return Err(Code::Forbidden.refuse(format!(
                "{message} comes out of a process: it is ordered when it is delivered with its proof"
            )));
        }
        self.order(process, item, None, None).await
    }

    fn check_assign_crank(&self, request: &wire::Assign, process: Id, tx: Id) -> Result<Option<String>, Refusal> {
        let Some(proof) = &request.proof else { return Ok(None) };
        let proven = self.prove(proof)?;
        match proven.delivery {
            Delivery::Assign { process: p, tx: t, exclude, base_layer }
                if p == process && t == tx && exclude == request.exclude && base_layer == request.base_layer =>
            {
                Ok(Some(proven.id.to_string()))
            }
            _ => Err(Code::BadProof.refuse("the proof is for another assignment")),
        }
    }
}

/// The terms of an existing item or transaction.
fn assigned_terms(process: Id, draft: &Draft, content: &Content, exclude: Vec<String>) -> Terms {
    Occasion::ahead(process, draft, &content.tags, &content.owner).terms(exclude, Vec::new())
}

/// A failed search as a refusal; `absent` is the code for what nobody has.
fn refusal_of(error: &FindError, absent: Code) -> Refusal {
    match error {
        FindError::NotFound(_) => absent.refuse(error.to_string()),
        FindError::TooLarge(_) => Code::TooLarge.refuse(error.to_string()),
        FindError::Unavailable { .. } => Code::Unavailable.refuse(error.to_string()),
        FindError::NotSettled { has, needs, .. } => {
            let pause = needs.saturating_sub(*has).saturating_mul(PER_BLOCK_MS).min(LONGEST_PAUSE_MS);
            Refusal { retry_after_ms: pause, ..Code::NotSettled.refuse(error.to_string()) }
        }
    }
}

fn refusal_of_reads(error: &ReadsError) -> Refusal {
    let code = match error {
        ReadsError::Full => Code::Capacity,
        ReadsError::Path { error, .. } => Code::parse(&refusal_of(error, Code::Unreadable).code),
    };
    code.refuse(error.to_string())
}
