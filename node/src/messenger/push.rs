//! Pushing again: what a slot sends, delivered once more on somebody's word.
//!
//! Where it sits: for the door's `/push`, on any node, with an outcome that the door has checked. It delivers as the courier
//! does, from the same proof, so whatever has been delivered before is found to be there and nothing is doubled. Nothing is
//! noted here: the messenger on duty goes on by itself.
//!
//! Only slots before the process's mark are pushed again, those whose deliveries the courier of this node has had answered:
//! pushing any other could overtake what the process has sent the same target before. Of the others it is said that they are
//! on their way. What goes to a wallet is never pushed again: the messenger that delivered it has put it into its own
//! bundles, and another node would only pay for it once more.

use bytes::Bytes;
use weft_protocol::{
    Id,
    attestation::Attestation,
    crank::{self, Delivery, Kind, Outgoing},
    outcome::{Outcome, Written},
};

use super::{
    Delivered, MessengerHandle,
    courier::{Parcel, Tried, to_scheduler},
    worker::parcels,
};
use crate::door::{PUSHED_AT_ONCE, PushedSlot};

/// What became of one delivery.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// The item delivered, or the one assigned.
    pub id: Id,
    /// How it went.
    pub end: PushEnd,
    /// The same for people.
    pub text: String,
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushEnd {
    /// It has its slot, or goes to a wallet and is not pushed again.
    Done,
    /// Its turn is the messenger's: it goes out in its order.
    OnItsWay,
    /// Its target refused it for good.
    Refused,
    /// Who has to take it cannot be reached now.
    Later,
}

impl MessengerHandle {
    /// Delivers again what entry `leaf` of an attested outbox asks for (messages first, then spawns, then assignments): one
    /// delivery, or several for a spawn with its notice and for an assignment to many. Stops at one that does not get through.
    ///
    /// # Errors
    /// Why the entry gives no delivery, for people.
    pub async fn push_again(
        &self,
        attestation: &Attestation,
        signed: Bytes,
        outcome: &Outcome,
        leaf: u32,
    ) -> Result<Vec<Pushed>, String> {
        let (outgoing, bad) = crank::deliveries(attestation, outcome);
        let wanted: Vec<_> = outgoing.into_iter().filter(|one| one.leaf == leaf).collect();
        if wanted.is_empty() {
            let why = bad.into_iter().find(|error| error.leaf == leaf).map(|error| error.reason);
            return Err(why.unwrap_or_else(|| "it asks for nothing".to_owned()));
        }
        let (process, slot) = (attestation.subject.process, attestation.subject.slot);
        let first_open = self.tools.store.cranked(&process).map_err(|fault| fault.to_string())?;
        if is_on_its_way(slot, first_open) {
            return Ok(wanted.iter().map(|one| on_its_way(one, process, slot)).collect());
        }
        let mut pushed = Vec::new();
        for parcel in parcels(wanted, &outcome.outbox_leaves(), &signed) {
            let mut next = Some(parcel);
            while let Some(parcel) = next {
                let one = self.push(&parcel).await;
                next = parcel.then.filter(|_| one.end == PushEnd::Done).map(|then| *then);
                pushed.push(one);
            }
        }
        Ok(pushed)
    }

    /// Delivers again what an attested outbox asks for, from delivery number `first` on and at most [`PUSHED_AT_ONCE`].
    ///
    /// # Errors
    /// Why nothing is delivered, for people.
    pub async fn push_slot(
        &self,
        attestation: &Attestation,
        signed: &Bytes,
        outcome: &Written,
        first: u32,
    ) -> Result<PushedSlot, String> {
        let (mut outgoing, bad) = crank::deliveries(attestation, outcome.outcome());
        let mut pushed = PushedSlot::default();
        let at_once = usize::try_from(PUSHED_AT_ONCE).unwrap_or(usize::MAX);
        if first == 0 {
            pushed.bad = bad.into_iter().take(at_once).map(|error| (error.leaf, error.reason)).collect();
        }
        let (from, to) = part(&outgoing, usize::try_from(first).unwrap_or(usize::MAX), at_once);
        pushed.next = (to < outgoing.len()).then(|| u32::try_from(to).unwrap_or(u32::MAX));
        outgoing.truncate(to);
        let wanted = outgoing.split_off(from);
        let (process, slot) = (attestation.subject.process, attestation.subject.slot);
        let first_open = self.tools.store.cranked(&process).map_err(|fault| fault.to_string())?;
        if is_on_its_way(slot, first_open) {
            pushed.done = wanted.iter().map(|one| (one.leaf, on_its_way(one, process, slot))).collect();
            return Ok(pushed);
        }
        for parcel in parcels(wanted, outcome.outbox_leaves(), signed) {
            let mut next = Some(parcel);
            while let Some(parcel) = next {
                let one = self.push(&parcel).await;
                next = parcel.then.filter(|_| one.end == PushEnd::Done).map(|then| *then);
                pushed.done.push((parcel.outgoing.leaf, one));
            }
        }
        Ok(pushed)
    }

    async fn push(&self, parcel: &Parcel) -> Pushed {
        let (end, text) = match to_scheduler(&self.tools, parcel).await {
            Some(Tried::Answered(Delivered::Done, text)) => (PushEnd::Done, text),
            Some(Tried::Answered(Delivered::Refused, text)) => (PushEnd::Refused, text),
            Some(Tried::Later(text, _)) => (PushEnd::Later, text),
            None => no_process(&parcel.outgoing.delivery),
        };
        Pushed { id: id_of(&parcel.outgoing), end, text }
    }
}

/// Where the deliveries from number `first` on begin and end, at most `most` of them. A spawn and its notice go together: the
/// notice only follows a spawn that was taken.
fn part(outgoing: &[Outgoing], first: usize, most: usize) -> (usize, usize) {
    let is_notice = |at: usize| outgoing.get(at).is_some_and(|one| one.id.kind == Kind::Spawned);
    let from = first.saturating_sub(usize::from(is_notice(first))).min(outgoing.len());
    let to = from.saturating_add(most).min(outgoing.len());
    (from, to.saturating_sub(usize::from(is_notice(to))).max(from))
}

/// Whether a slot is the messenger's to deliver, when `first_open` is the first whose deliveries are not all answered.
fn is_on_its_way(slot: u64, first_open: u64) -> bool {
    slot >= first_open
}

fn on_its_way(one: &Outgoing, process: Id, slot: u64) -> Pushed {
    let text = format!(
        "on its way: what slot {slot} of process {process} sends is delivered by the process's messenger, in order, and this \
         node has not seen it answered; nothing needs to be done"
    );
    Pushed { id: id_of(one), end: PushEnd::OnItsWay, text }
}

fn id_of(one: &Outgoing) -> Id {
    match &one.delivery {
        Delivery::Item(item) => item.id(),
        Delivery::Assign { tx, .. } => *tx,
    }
}

/// What is said of a delivery that no scheduler is asked for.
fn no_process(delivery: &Delivery) -> (PushEnd, String) {
    match delivery {
        Delivery::Item(item) => {
            let wallet = item.target().map(|target| target.to_string());
            let wallet = wallet.or_else(|| item.tag("Target").map(str::to_owned)).unwrap_or_default();
            let text = "its messages go to Arweave with the messenger that delivers them, and are not pushed again";
            (PushEnd::Done, format!("{wallet} is a wallet: {text}"))
        }
        Delivery::Assign { process, .. } => (PushEnd::Refused, format!("{process} is no process of this network")),
    }
}

#[cfg(test)]
mod tests;
