//! How market objects are signed and opened.
//!
//! An object's bytes are the JSON of a [`Claim`] without whitespace, fields in the order of the struct; other bytes
//! for the same claim are refused. The signature is ed25519 (strict) over `"weft/market/v1\0"` followed by those
//! bytes; the object's id is the SHA-256 of the same. Clocks are inputs.

use ed25519_dalek::{Signer as _, SigningKey};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::RefusalCode;
use crate::{Id, NodeKey, wire};

/// In front of the signed bytes.
pub const DOMAIN: &[u8] = b"weft/market/v1\0";
/// The version of all market objects.
pub const VERSION: u16 = 1;
/// Largest body accepted, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// An object issued further in the future than this, in milliseconds, is ignored and counted.
pub const MAX_FUTURE_MS: u64 = 5 * 60 * 1000;

/// Which object it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// [`super::Offer`].
    Offer,
    /// [`super::QuoteRequest`].
    QuoteRequest,
    /// [`super::Quote`].
    Quote,
    /// [`super::Award`].
    Award,
    /// [`super::LeaseGrant`].
    Lease,
    /// [`super::AwardRecord`].
    AwardRecord,
}

/// What an object says, beyond who says it and when.
pub trait Body: Serialize + DeserializeOwned {
    /// The kind of these bodies.
    const KIND: Kind;

    /// Bounds that the types do not express.
    ///
    /// # Errors
    /// What is out of bounds.
    fn check(&self) -> Result<(), String>;
}

/// A signed statement: who says what, where and for how long. The order of the fields is the canonical order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim<T> {
    /// The network's id.
    pub net: Id,
    /// The kind of the body.
    pub kind: Kind,
    /// [`VERSION`].
    pub v: u16,
    /// Who signed.
    pub issuer: NodeKey,
    /// Strictly rising per issuer and kind, persisted before use.
    pub seq: u64,
    /// When it was signed, milliseconds of wall clock.
    pub issued_ms: u64,
    /// Until when it binds, milliseconds of wall clock.
    pub expires_ms: u64,
    /// The statement.
    pub body: T,
}

/// A claim that was signed here, or opened and found good, with its bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Object<T> {
    /// SHA-256 of domain and bytes: how other objects name it.
    pub id: Id,
    /// What it says.
    pub claim: Claim<T>,
    /// The bytes and signature as they travel.
    pub signed: wire::Signed,
}

/// A signed object as text, to be shown and kept as evidence: whoever has it can check it offline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedText {
    /// The canonical JSON that was signed.
    pub body: String,
    /// Who signed.
    pub signer: NodeKey,
    /// The 64 bytes of the signature, in hex.
    pub signature: String,
}

impl<T> Object<T> {
    /// The object as text.
    pub fn to_text(&self) -> SignedText {
        SignedText {
            body: String::from_utf8_lossy(&self.signed.body).into_owned(),
            signer: self.claim.issuer,
            signature: hex::encode(&self.signed.signature),
        }
    }
}

/// A body that cannot be signed: it breaks its own bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this {kind:?} cannot be signed: {reason}")]
pub struct SignError {
    /// The body's kind.
    pub kind: Kind,
    /// What is out of bounds.
    pub reason: String,
}

/// Signs a node's market objects.
pub struct Issuer {
    network: Id,
    key: SigningKey,
}

impl Issuer {
    /// The issuer with this ed25519 seed on the network with this id.
    pub fn new(network: Id, seed: &[u8; 32]) -> Self {
        Self { network, key: SigningKey::from_bytes(seed) }
    }

    /// The issuer's public key.
    pub fn key(&self) -> NodeKey {
        NodeKey::from_bytes(self.key.verifying_key().to_bytes())
    }

    /// Signs `body`.
    ///
    /// # Errors
    /// A body out of its own bounds.
    pub fn sign<T: Body>(&self, body: T, seq: u64, issued_ms: u64, expires_ms: u64) -> Result<Object<T>, SignError> {
        let fail = |reason| SignError { kind: T::KIND, reason };
        body.check().map_err(fail)?;
        let issuer = self.key();
        let claim = Claim { net: self.network, kind: T::KIND, v: VERSION, issuer, seq, issued_ms, expires_ms, body };
        let bytes = serde_json::to_vec(&claim).map_err(|error| fail(error.to_string()))?;
        if bytes.len() > MAX_BODY_BYTES {
            return Err(fail(format!("{} bytes are more than {MAX_BODY_BYTES}", bytes.len())));
        }
        let preimage = preimage(&bytes);
        let signature = self.key.sign(&preimage).to_bytes().to_vec();
        let signed =
            wire::Signed { body: bytes.into(), signer: issuer.as_bytes().to_vec().into(), signature: signature.into() };
        Ok(Object { id: Id::sha256(&preimage), claim, signed })
    }
}

/// Where and when an object is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The network's id.
    pub network: Id,
    /// The clock, in milliseconds.
    pub now_ms: u64,
    /// How far clocks may differ, in milliseconds.
    pub skew_ms: u64,
}

/// What a bad object says about whoever sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Nothing: another network, another version, too late.
    None,
    /// Ignored and counted: a clock far ahead.
    Counted,
    /// Nobody honest sends this.
    Malice,
}

/// An object that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {reason}")]
pub struct Rejection {
    /// The code to answer with.
    pub code: RefusalCode,
    /// What to make of the sender.
    pub fault: Fault,
    /// For people.
    pub reason: String,
}

impl Rejection {
    pub(super) fn new(code: RefusalCode, fault: Fault, reason: impl Into<String>) -> Self {
        Self { code, fault, reason: super::refusal::shorten(&reason.into()) }
    }
}

/// The part every version and kind shares.
#[derive(Deserialize)]
struct Head {
    net: Id,
    kind: Kind,
    v: u16,
}

/// Opens a signed object: size, network, version, kind, canonical form, signature, bounds and times.
///
/// # Errors
/// The first check that fails, with the code to answer and what it says about the sender.
pub fn open<T: Body>(signed: &wire::Signed, context: &Context) -> Result<Object<T>, Rejection> {
    let malice = |reason: String| Rejection::new(RefusalCode::BadSignature, Fault::Malice, reason);
    let bytes: &[u8] = signed.body.as_ref();
    if bytes.len() > MAX_BODY_BYTES {
        return Err(malice(format!("a body of {} bytes is larger than {MAX_BODY_BYTES}", bytes.len())));
    }
    let head: Head = serde_json::from_slice(bytes).map_err(|error| malice(format!("not a market object: {error}")))?;
    if head.net != context.network {
        let reason = format!("it belongs to network {}, this is {}", head.net.short(), context.network.short());
        return Err(Rejection::new(RefusalCode::WrongNetwork, Fault::None, reason));
    }
    if head.v != VERSION {
        let reason = format!("version {} is not spoken here, only {VERSION}", head.v);
        return Err(Rejection::new(RefusalCode::BadSignature, Fault::None, reason));
    }
    if head.kind != T::KIND {
        return Err(malice(format!("it is a {:?} where a {:?} belongs", head.kind, T::KIND)));
    }
    let claim: Claim<T> = serde_json::from_slice(bytes).map_err(|error| malice(format!("malformed: {error}")))?;
    if serde_json::to_vec(&claim).ok().as_deref() != Some(bytes) {
        return Err(malice("not in canonical form".to_owned()));
    }
    let preimage = preimage(bytes);
    verify(signed, &claim.issuer, &preimage).map_err(malice)?;
    claim.body.check().map_err(malice)?;
    check_times(&claim, context)?;
    Ok(Object { id: Id::sha256(&preimage), claim, signed: signed.clone() })
}

fn verify(signed: &wire::Signed, issuer: &NodeKey, preimage: &[u8]) -> Result<(), String> {
    if AsRef::<[u8]>::as_ref(&signed.signer) != issuer.as_bytes() {
        return Err("the signer is not the issuer".to_owned());
    }
    issuer.verify(preimage, &signed.signature).map_err(|error| error.to_string())
}

fn check_times<T>(claim: &Claim<T>, context: &Context) -> Result<(), Rejection> {
    let Context { now_ms, skew_ms, .. } = *context;
    if claim.expires_ms < claim.issued_ms {
        return Err(Rejection::new(RefusalCode::BadSignature, Fault::Malice, "it expires before it was issued"));
    }
    if claim.issued_ms > now_ms.saturating_add(MAX_FUTURE_MS) {
        let ahead = claim.issued_ms.saturating_sub(now_ms) / 1000;
        let reason = format!("issued {ahead} s in the future; is a clock wrong?");
        return Err(Rejection::new(RefusalCode::Expired, Fault::Counted, reason));
    }
    if claim.expires_ms.saturating_add(skew_ms) < now_ms {
        let late = now_ms.saturating_sub(claim.expires_ms) / 1000;
        return Err(Rejection::new(RefusalCode::Expired, Fault::None, format!("expired {late} s ago")));
    }
    Ok(())
}

fn preimage(bytes: &[u8]) -> Vec<u8> {
    let mut preimage = Vec::with_capacity(DOMAIN.len() + bytes.len());
    preimage.extend_from_slice(DOMAIN);
    preimage.extend_from_slice(bytes);
    preimage
}
