//! Fetching by id, always verified: what a gateway says is put together until the signature proves it.
//!
//! A data item is rebuilt from its header fields (GraphQL) and its payload (`/raw`), or cut out of its bundle; a
//! transaction is its header plus data that fits the data root. Bytes that prove nothing are not handed on.

use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::{Value, json};
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile, SignatureType, Tag, bundle, tags},
    arweave::{Format, Transaction},
    b64,
};

use super::{
    Gateway, GatewayError,
    http::{Failure, Host},
    path,
};

const NODE: &str = "query($ids:[ID!]!){transactions(ids:$ids,first:1){edges{node{id anchor signature recipient \
                    owner{key} tags{name value} bundledIn{id}}}}}";
/// What is read of a bundle when an item is cut out of it.
const LIMITS: bundle::Limits = bundle::Limits { max_items: 100_000, max_item_size: 64 << 20, max_depth: 0 };

/// What something fetched is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A layer-1 transaction.
    Transaction,
    /// A data item.
    Item,
}

/// A verified transaction or item.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Its id, the one asked for.
    pub id: Id,
    /// SHA-256 of its owner's key.
    pub owner: Id,
    /// Its tags, in order.
    pub tags: Vec<Tag>,
    /// Its payload.
    pub data: Bytes,
    /// What it is.
    pub kind: Kind,
}

impl Fetched {
    /// The value of the first tag of exactly this name.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags.iter().find(|tag| tag.name == name).map(|tag| tag.value.as_str())
    }
}

impl From<&DataItem> for Fetched {
    fn from(item: &DataItem) -> Self {
        Self {
            id: item.id(),
            owner: item.owner_address(),
            tags: item.tags().to_vec(),
            data: item.data(),
            kind: Kind::Item,
        }
    }
}

/// An item as GraphQL describes it: a claim until its signature fits.
#[derive(Debug, Deserialize)]
struct Claim {
    #[serde(default)]
    anchor: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    recipient: Option<String>,
    owner: ClaimOwner,
    tags: Vec<Tag>,
    #[serde(default, rename = "bundledIn")]
    bundle: Option<ClaimBundle>,
}

#[derive(Debug, Deserialize)]
struct ClaimOwner {
    #[serde(default)]
    key: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ClaimBundle {
    id: Id,
}

impl Gateway {
    /// A transaction or item by id, with its payload, verified.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] when no gateway knows it, [`GatewayError::Unavailable`] when none gave bytes that prove
    /// to be it.
    pub async fn fetch(&self, id: &Id) -> Result<Fetched, GatewayError> {
        self.fetch_within(id, usize::MAX).await
    }

    /// The same, with a payload of at most `most` bytes; a larger one is refused (413), and no more than that of it is read.
    ///
    /// # Errors
    /// As [`Self::fetch`], and [`GatewayError::Refused`].
    pub async fn fetch_within(&self, id: &Id, most: usize) -> Result<Fetched, GatewayError> {
        self.any(&id.to_string(), |host| async move {
            match self.transaction_at(host, id, most).await? {
                Some(found) => Ok(found),
                None => Ok(Fetched::from(&self.item_at(host, id, most).await?)),
            }
        })
        .await
    }

    /// A data item by id, in its raw form, verified.
    ///
    /// # Errors
    /// As [`Self::fetch`].
    pub async fn raw_item(&self, id: &Id) -> Result<DataItem, GatewayError> {
        self.any(&format!("item {id}"), |host| self.item_at(host, id, usize::MAX)).await
    }

    /// A layer-1 transaction by id as JSON, its data inside, verified; with more than `most` bytes of data it is refused
    /// (413) unread.
    ///
    /// # Errors
    /// As [`Self::fetch`], and [`GatewayError::Refused`].
    pub async fn transaction_json(&self, id: &Id, most: u64) -> Result<Bytes, GatewayError> {
        self.any(&format!("transaction {id}"), |host| async move {
            let header = self.verified_header_at(host, id).await?.ok_or(Failure::Absent)?;
            let data = self.transaction_data_at(host, &header, most).await?;
            json_of(&header, &data)
        })
        .await
    }

    /// A layer-1 transaction by id as JSON without its data, verified. One of format 1 signs its data: that is fetched to
    /// verify it, at most `most` bytes, and given as well.
    ///
    /// # Errors
    /// As [`Self::transaction_json`].
    pub async fn transaction_header_json(&self, id: &Id, most: u64) -> Result<Bytes, GatewayError> {
        self.any(&format!("transaction {id}"), |host| async move {
            let header = self.verified_header_at(host, id).await?.ok_or(Failure::Absent)?;
            let data = match header.format() {
                Format::One => self.transaction_data_at(host, &header, most).await?,
                Format::Two => Bytes::new(),
            };
            json_of(&header, &data)
        })
        .await
    }

    async fn transaction_at(&self, host: &Host, id: &Id, most: usize) -> Result<Option<Fetched>, Failure> {
        let Some(header) = self.verified_header_at(host, id).await? else { return Ok(None) };
        let data = self.transaction_data_at(host, &header, u64::try_from(most).unwrap_or(u64::MAX)).await?;
        Ok(Some(Fetched {
            id: *id,
            owner: header.owner_address(),
            tags: header.text_tags(),
            data,
            kind: Kind::Transaction,
        }))
    }

    /// A transaction whose signature holds; of format 1 that depends on its data and is seen later.
    async fn verified_header_at(&self, host: &Host, id: &Id) -> Result<Option<Transaction>, Failure> {
        let Some(found) = self.header_at(host, id).await? else { return Ok(None) };
        if found.id() != *id {
            return Err(lie(format!("transaction {} instead of {id}", found.id())));
        }
        let header = found.header();
        if header.format() == Format::Two {
            header.verify().map_err(|error| lie(format!("transaction {id}: {error}")))?;
        }
        Ok(Some(header))
    }

    /// The data of a transaction, checked against its root or, in format 1, its signature.
    async fn transaction_data_at(&self, host: &Host, header: &Transaction, most: u64) -> Result<Bytes, Failure> {
        let id = header.id();
        if header.data_size() > most {
            let reason = format!("it has {} bytes of data; at most {most} can be taken", header.data_size());
            return Err(Failure::Refused(413, reason));
        }
        let data = match header.data_size() {
            0 => Bytes::new(),
            _ => match self.payload_at(host, &id, usize::MAX).await {
                // A plain Arweave node has neither route for it.
                Err(Failure::Absent | Failure::Refused(..)) => self.node_data_at(host, &id).await?,
                other => other?,
            },
        };
        let whole = header.clone().with_data(data.clone());
        let holds = whole.and_then(|whole| if header.format() == Format::One { whole.verify() } else { Ok(()) });
        holds.map_err(|error| lie(format!("the data of transaction {id}: {error}")))?;
        Ok(data)
    }

    /// The data as an Arweave node gives it: base64url, up to 12 MiB of data.
    async fn node_data_at(&self, host: &Host, id: &Id) -> Result<Bytes, Failure> {
        let answer = self.get(host, &format!("/tx/{id}/data")).await?;
        let data =
            b64::decode(answer.text()?).ok_or_else(|| lie(format!("data of transaction {id} that is no base64")))?;
        Ok(data.into())
    }

    async fn payload_at(&self, host: &Host, id: &Id, most: usize) -> Result<Bytes, Failure> {
        match self.get_within(host, &path("/raw/", id), most).await {
            Err(Failure::Refused(413, reason)) => Err(Failure::Refused(413, reason)),
            // A plain Arweave node has no such route.
            Err(Failure::Absent | Failure::Refused(..)) => Ok(self.get_within(host, &path("/", id), most).await?.body),
            other => Ok(other?.body),
        }
    }

    async fn item_at(&self, host: &Host, id: &Id, most: usize) -> Result<DataItem, Failure> {
        let claim = self.claim_at(host, id).await?;
        let why = match self.payload_at(host, id, most).await {
            Err(Failure::Refused(413, reason)) => return Err(Failure::Refused(413, reason)),
            Ok(data) => match rebuild(id, &claim, &data) {
                Some(item) => return Ok(item),
                None => lie(format!("fields and payload of item {id} that its signature does not fit")),
            },
            Err(failure) => failure,
        };
        match &claim.bundle {
            Some(bundle) => self.cut_at(host, id, &bundle.id).await,
            None => Err(why),
        }
    }

    async fn claim_at(&self, host: &Host, id: &Id) -> Result<Claim, Failure> {
        let data = self.graphql_at(host, &json!({ "query": NODE, "variables": { "ids": [id] } })).await?;
        let node =
            data.pointer("/transactions/edges/0/node").cloned().filter(Value::is_object).ok_or(Failure::Absent)?;
        serde_json::from_value(node)
            .map_err(|error| Failure::Broken(format!("its GraphQL row is not understood: {error}")))
    }

    /// Cuts an item out of the payload of the bundle that holds it.
    async fn cut_at(&self, host: &Host, id: &Id, bundle: &Id) -> Result<DataItem, Failure> {
        // A bundle may be much larger than the item: only so many are in memory.
        let _turn = self.inner.bundles.acquire().await; // never closed
        let data = self.payload_at(host, bundle, usize::MAX).await?;
        let entries = bundle::read(&data, LIMITS).map_err(|error| lie(format!("bundle {bundle}: {error}")))?;
        let entry = entries.into_iter().find(|entry| entry.id == *id);
        let entry = entry.ok_or_else(|| lie(format!("a bundle {bundle} without item {id}")))?;
        let end = entry.offset.saturating_add(entry.size).min(data.len());
        let raw = data.slice(entry.offset.min(end)..end);
        proven(id, raw).ok_or_else(|| lie(format!("a bundle {bundle} with an item {id} that does not verify")))
    }
}

fn json_of(header: &Transaction, data: &[u8]) -> Result<Bytes, Failure> {
    let broken = |error: serde_json::Error| Failure::Broken(format!("transaction {}: {error}", header.id()));
    let mut json = serde_json::to_value(header).map_err(broken)?;
    if let Some(members) = json.as_object_mut() {
        members.insert("data".to_owned(), b64::encode(data).into());
    }
    serde_json::to_vec(&json).map(Bytes::from).map_err(broken)
}

fn lie(what: String) -> Failure {
    Failure::Broken(format!("it served {what}"))
}

/// The item in these bytes if it verifies and is the one wanted.
fn proven(id: &Id, raw: Bytes) -> Option<DataItem> {
    DataItem::parse_verified(raw, Profile::History).ok().filter(|item| item.id() == *id)
}

/// Puts an item together in every way its fields allow; the one that its signature fits.
fn rebuild(id: &Id, claim: &Claim, data: &Bytes) -> Option<DataItem> {
    let signature = b64::decode(claim.signature.as_deref()?).filter(|signature| Id::sha256(signature) == *id)?;
    let owner = b64::decode(claim.owner.key.as_deref()?)?;
    let recipient = claim.recipient.as_deref().filter(|text| !text.is_empty());
    let target = recipient.map(str::parse::<Id>).transpose().ok()?;
    let tags = tags::encode(&claim.tags).ok()?;
    let types = [SignatureType::Arweave, SignatureType::Ed25519, SignatureType::Ethereum, SignatureType::Solana];
    let fits = |kind: &SignatureType| kind.signature_len() == signature.len() && kind.owner_len() == owner.len();
    let anchors = anchors(claim.anchor.as_deref().unwrap_or_default());
    types.into_iter().filter(fits).find_map(|kind| {
        anchors.iter().find_map(|anchor| {
            let mut raw = BytesMut::with_capacity(data.len().saturating_add(tags.len()).saturating_add(2048));
            raw.put_u16_le(kind.number());
            raw.extend_from_slice(&signature);
            raw.extend_from_slice(&owner);
            put_optional(&mut raw, target.as_ref().map(Id::as_bytes));
            put_optional(&mut raw, anchor.as_ref());
            raw.put_u64_le(claim.tags.len() as u64);
            raw.put_u64_le(tags.len() as u64);
            raw.extend_from_slice(&tags);
            raw.extend_from_slice(data);
            proven(id, raw.freeze())
        })
    })
}

fn put_optional(raw: &mut BytesMut, value: Option<&[u8; 32]>) {
    raw.put_u8(u8::from(value.is_some()));
    raw.extend_from_slice(value.map(<[u8; 32]>::as_slice).unwrap_or_default());
}

/// What an anchor's text may stand for: services have shown it plain, encoded, and encoded twice.
fn anchors(text: &str) -> Vec<Option<[u8; 32]>> {
    if text.is_empty() {
        return vec![None];
    }
    let once = b64::decode(text);
    let twice = once.as_ref().and_then(|bytes| b64::decode(std::str::from_utf8(bytes).ok()?));
    let plain = Some(text.as_bytes().to_vec());
    [once, plain, twice].into_iter().flatten().filter_map(|bytes| bytes.try_into().ok().map(Some)).collect()
}
