//! A whole data item in memory.

use bytes::Bytes;
use sha2::{Digest as _, Sha384};

use super::{Deviation, ItemError, ItemHead, Profile, SignatureType, Tag};
use crate::Id;

/// A signed data item, immutable; clones share the bytes.
#[derive(Debug, Clone)]
pub struct DataItem {
    raw: Bytes,
    head: ItemHead,
}

impl DataItem {
    /// Reads the structure of an item without copying. The signature is not looked at: see [`DataItem::verify`].
    ///
    /// # Errors
    /// The first thing found wrong, in the order of the layout.
    pub fn parse(raw: Bytes, profile: Profile) -> Result<Self, ItemError> {
        let head = ItemHead::parse(&raw, profile)?;
        Ok(Self { raw, head })
    }

    /// Checks owner and signature; hashes the data once.
    ///
    /// # Errors
    /// [`ItemError::Signature`].
    pub fn verify(&self) -> Result<(), ItemError> {
        self.head.verify(self.data_len() as u64, &self.data_hash())
    }

    /// [`DataItem::parse`] and [`DataItem::verify`].
    ///
    /// # Errors
    /// As those two.
    pub fn parse_verified(raw: Bytes, profile: Profile) -> Result<Self, ItemError> {
        let item = Self::parse(raw, profile)?;
        item.verify()?;
        Ok(item)
    }

    /// Checks that this is the item with id `expected`.
    ///
    /// # Errors
    /// [`ItemError::WrongId`].
    pub fn expect_id(&self, expected: &Id) -> Result<(), ItemError> {
        let found = self.id();
        if found == *expected { Ok(()) } else { Err(ItemError::WrongId { expected: *expected, found }) }
    }

    /// The deep hash that the signature is made over.
    pub fn signed_hash(&self) -> [u8; 48] {
        self.head.signed_hash(self.data_len() as u64, &self.data_hash())
    }

    fn data_hash(&self) -> [u8; 48] {
        Sha384::digest(self.data_slice()).into()
    }

    fn data_slice(&self) -> &[u8] {
        self.raw.get(self.head.len()..).unwrap_or_default()
    }

    fn data_len(&self) -> usize {
        self.data_slice().len()
    }

    /// Everything but the data.
    pub fn head(&self) -> &ItemHead {
        &self.head
    }

    /// The id: SHA-256 of the signature.
    pub fn id(&self) -> Id {
        self.head.id()
    }

    /// How the item is signed.
    pub fn signature_type(&self) -> SignatureType {
        self.head.signature_type()
    }

    /// The signature.
    pub fn signature(&self) -> &[u8] {
        self.head.signature()
    }

    /// The signer's public key.
    pub fn owner(&self) -> &[u8] {
        self.head.owner()
    }

    /// SHA-256 of the owner: the signer's address for every type of key.
    pub fn owner_address(&self) -> Id {
        self.head.owner_address()
    }

    /// The signer as AO shows it: the checksummed 0x address of an Ethereum key, the 43-character address of any other.
    pub fn signer_address(&self) -> String {
        self.head.signer_address()
    }

    /// Whom the item is for.
    pub fn target(&self) -> Option<Id> {
        self.head.target()
    }

    /// The anchor.
    pub fn anchor(&self) -> Option<&[u8; 32]> {
        self.head.anchor()
    }

    /// All tags in their order.
    pub fn tags(&self) -> &[Tag] {
        self.head.tags()
    }

    /// The value of the first tag with exactly this name.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.head.tag(name)
    }

    /// The tag section as signed.
    pub fn raw_tags(&self) -> &[u8] {
        self.head.raw_tags()
    }

    /// What [`Profile::History`] let pass; `None` for an item that is also strictly right.
    pub fn deviation(&self) -> Option<Deviation> {
        self.head.deviation()
    }

    /// The data, sharing the item's memory.
    pub fn data(&self) -> Bytes {
        self.raw.slice(self.head.len().min(self.raw.len())..)
    }

    /// The exact bytes of the item.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }
}

impl PartialEq for DataItem {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl Eq for DataItem {}
