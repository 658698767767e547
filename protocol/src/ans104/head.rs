//! Everything of an item but its data: parsed once, in fixed order, with every length checked before it is used.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use super::{
    Deviation, ItemError, Profile, SignatureType, Tag, TagError,
    deep_hash::{SignedFields, hashed_blob, item_hash},
    signature::{self, eth_address},
    tags,
};
use crate::Id;

/// Most bytes that can stand before the data of an accepted item: type, RSA signature and owner, target, anchor, counts, tags.
pub const MAX_HEAD_LEN: usize = 2 + 512 + 512 + 33 + 33 + 16 + tags::MAX_SECTION;

/// The head of an item: what there is to know about it without its data. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ItemHead {
    /// Exactly the head's bytes.
    raw: Bytes,
    parsed: Arc<Parsed>,
}

#[derive(Debug)]
struct Parsed {
    id: Id,
    kind: SignatureType,
    owner: Range<usize>,
    target: Option<Id>,
    anchor: Option<[u8; 32]>,
    raw_tags: Range<usize>,
    tags: Vec<Tag>,
    deviation: Option<Deviation>,
}

impl ItemHead {
    /// Reads the head at the start of `bytes`, which may go on with data.
    pub(super) fn parse(bytes: &Bytes, profile: Profile) -> Result<Self, ItemError> {
        let mut cursor = Cursor { bytes, position: 0 };
        let number = cursor.array::<2>("signature type").map(u16::from_le_bytes)?;
        let kind = SignatureType::from_number(number).ok_or(ItemError::UnknownType(number))?;
        if !kind.is_accepted() {
            return Err(ItemError::RefusedType(kind));
        }
        let id = Id::sha256(cursor.take("signature", kind.signature_len())?);
        let owner_start = cursor.position;
        cursor.take("owner", kind.owner_len())?;
        let owner = owner_start..cursor.position;
        let target = cursor.optional("target")?.map(Id::from_bytes);
        let anchor = cursor.optional("anchor")?;
        let declared = cursor.array::<8>("tag count").map(u64::from_le_bytes)?;
        let section = cursor.array::<8>("tag length").map(u64::from_le_bytes)?;
        if declared > tags::MAX_TAGS as u64 && profile == Profile::Strict {
            return Err(TagError::TooMany(declared).into());
        }
        let section = usize::try_from(section)
            .ok()
            .filter(|len| *len <= tags::MAX_SECTION)
            .ok_or(TagError::SectionTooLong(section))?;
        let tags_start = cursor.position;
        let decoded = tags::decode(cursor.take("tags", section)?, declared, profile)?;
        let raw_tags = tags_start..cursor.position;
        let raw = bytes.slice(..cursor.position);
        let tags::Decoded { tags, deviation } = decoded;
        Ok(Self { raw, parsed: Arc::new(Parsed { id, kind, owner, target, anchor, raw_tags, tags, deviation }) })
    }

    /// Bytes of the head: where the data starts.
    pub(super) fn len(&self) -> usize {
        self.raw.len()
    }

    /// Checks the signature, given length and SHA-384 of the data.
    pub(super) fn verify(&self, data_len: u64, data_hash: &[u8; 48]) -> Result<(), ItemError> {
        let hash = self.signed_hash(data_len, data_hash);
        signature::verify(self.signature_type(), self.owner(), self.signature(), &hash)
    }

    /// The message of the signature.
    pub(super) fn signed_hash(&self, data_len: u64, data_hash: &[u8; 48]) -> [u8; 48] {
        let fields = SignedFields {
            signature_type: self.parsed.kind.number(),
            owner: self.owner(),
            target: self.parsed.target.as_ref().map(|id| id.as_bytes().as_slice()).unwrap_or_default(),
            anchor: self.parsed.anchor.as_ref().map(<[u8; 32]>::as_slice).unwrap_or_default(),
            raw_tags: self.raw_tags(),
        };
        item_hash(&fields, &hashed_blob(data_len, data_hash))
    }

    fn part(&self, range: Range<usize>) -> &[u8] {
        self.raw.get(range).unwrap_or_default()
    }

    /// The id: SHA-256 of the signature. It binds the content only once the signature is verified.
    pub fn id(&self) -> Id {
        self.parsed.id
    }

    /// How the item is signed.
    pub fn signature_type(&self) -> SignatureType {
        self.parsed.kind
    }

    /// The signature.
    pub fn signature(&self) -> &[u8] {
        self.part(2..self.parsed.owner.start)
    }

    /// The signer's public key.
    pub fn owner(&self) -> &[u8] {
        self.part(self.parsed.owner.clone())
    }

    /// SHA-256 of the owner: the signer's address for every type of key.
    pub fn owner_address(&self) -> Id {
        Id::sha256(self.owner())
    }

    /// The signer as AO shows it: the checksummed 0x address of an Ethereum key, the 43-character address of any other.
    pub fn signer_address(&self) -> String {
        eth_address(self.owner()).unwrap_or_else(|| self.owner_address().to_string())
    }

    /// Whom the item is for.
    pub fn target(&self) -> Option<Id> {
        self.parsed.target
    }

    /// The anchor.
    pub fn anchor(&self) -> Option<&[u8; 32]> {
        self.parsed.anchor.as_ref()
    }

    /// All tags in their order.
    pub fn tags(&self) -> &[Tag] {
        &self.parsed.tags
    }

    /// The value of the first tag with exactly this name.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags().iter().find(|tag| tag.name == name).map(|tag| tag.value.as_str())
    }

    /// The tag section as signed.
    pub fn raw_tags(&self) -> &[u8] {
        self.part(self.parsed.raw_tags.clone())
    }

    /// What [`Profile::History`] let pass; `None` for an item that is also strictly right.
    pub fn deviation(&self) -> Option<Deviation> {
        self.parsed.deviation
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, field: &'static str, len: usize) -> Result<&'a [u8], ItemError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let taken =
            rest.get(..len).ok_or(ItemError::Truncated { field, needed: len as u64, available: rest.len() as u64 })?;
        self.position = self.position.saturating_add(len);
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], ItemError> {
        let taken = self.take(field, N)?;
        taken.first_chunk().copied().ok_or(ItemError::Truncated {
            field,
            needed: N as u64,
            available: taken.len() as u64,
        })
    }

    fn optional(&mut self, field: &'static str) -> Result<Option<[u8; 32]>, ItemError> {
        match self.array::<1>(field)? {
            [0] => Ok(None),
            [1] => self.array(field).map(Some),
            [byte] => Err(ItemError::Presence { field, byte }),
        }
    }
}
