//! Pushing again: what a slot sends, delivered once more on somebody's word.
//!
//! Where it sits: for the door's `/push`, on any node, with an outcome that the door has checked. It delivers as the courier
//! does, from the same proof, so whatever has been delivered before is found to be there and nothing is doubled. Nothing is
//! noted here: the messenger on duty goes on by itself.

use bytes::Bytes;
use weft_protocol::{
    Id,
    attestation::Attestation,
    crank::{self, Delivery},
    outcome::Outcome,
};

use super::{
    Delivered, MessengerHandle,
    courier::{Parcel, Tried, deliver},
    worker::parcels,
};

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
    /// It has its slot, or is on its way to Arweave.
    Done,
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

    async fn push(&self, parcel: &Parcel) -> Pushed {
        let id = match &parcel.outgoing.delivery {
            Delivery::Item(item) => item.id(),
            Delivery::Assign { tx, .. } => *tx,
        };
        let (end, text) = match deliver(&self.tools, parcel).await {
            Tried::Answered(Delivered::Done, text) => (PushEnd::Done, text),
            Tried::Answered(Delivered::Refused, text) => (PushEnd::Refused, text),
            Tried::Later(text, _) => (PushEnd::Later, text),
        };
        Pushed { id, end, text }
    }
}
