//! Making and signing items.

use bytes::Bytes;
use sha2::{Digest as _, Sha384};

use super::{
    DataItem, ItemError, Profile, Signer, Tag, TagError,
    deep_hash::{SignedFields, hashed_blob, item_hash},
    tags,
};
use crate::{Id, keys::KeyError};

/// Why an item could not be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The tags pass a limit.
    #[error("the tags cannot be written: {0}")]
    Tags(#[from] TagError),
    /// The key failed.
    #[error("the key cannot sign: {0}")]
    Key(#[from] KeyError),
    /// The signer answered with something that makes no item.
    #[error("the signer gave bytes that make no item: {0}")]
    Signer(ItemError),
}

/// Collects the parts of an item; [`ItemBuilder::sign`] makes it.
#[derive(Debug, Clone, Default)]
pub struct ItemBuilder {
    target: Option<Id>,
    anchor: Option<[u8; 32]>,
    tags: Vec<Tag>,
    data: Bytes,
}

impl ItemBuilder {
    /// An item with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whom it is for.
    #[must_use]
    pub fn target(mut self, target: Id) -> Self {
        self.target = Some(target);
        self
    }

    /// 32 bytes that make the item differ from its like.
    #[must_use]
    pub fn anchor(mut self, anchor: [u8; 32]) -> Self {
        self.anchor = Some(anchor);
        self
    }

    /// One more tag at the end.
    #[must_use]
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.push(Tag::new(name, value));
        self
    }

    /// More tags at the end.
    #[must_use]
    pub fn tags(mut self, tags: impl IntoIterator<Item = Tag>) -> Self {
        self.tags.extend(tags);
        self
    }

    /// The data.
    #[must_use]
    pub fn data(mut self, data: impl Into<Bytes>) -> Self {
        self.data = data.into();
        self
    }

    /// Signs and assembles the item. Empty tag values are written (processes send them, every reader takes them).
    ///
    /// # Errors
    /// [`SignError`] when tags pass the limits or the signer fails.
    pub fn sign(self, signer: &dyn Signer) -> Result<DataItem, SignError> {
        let raw_tags = tags::encode(&self.tags)?;
        let kind = signer.signature_type().number();
        let target = self.target.as_ref().map(|id| id.as_bytes().as_slice()).unwrap_or_default();
        let anchor = self.anchor.as_ref().map(<[u8; 32]>::as_slice).unwrap_or_default();
        let fields = SignedFields { signature_type: kind, owner: signer.owner(), target, anchor, raw_tags: &raw_tags };
        let data = hashed_blob(self.data.len() as u64, &Sha384::digest(&self.data).into());
        let signature = signer.sign(&item_hash(&fields, &data))?;

        let counts = [(self.tags.len() as u64).to_le_bytes(), (raw_tags.len() as u64).to_le_bytes()].concat();
        let kind = kind.to_le_bytes();
        let head: [&[u8]; 9] = [
            &kind,
            &signature,
            signer.owner(),
            &[u8::from(self.target.is_some())],
            target,
            &[u8::from(self.anchor.is_some())],
            anchor,
            &counts,
            &raw_tags,
        ];
        let len = head.iter().map(|part| part.len()).sum::<usize>().saturating_add(self.data.len());
        let mut raw = Vec::with_capacity(len);
        for part in head {
            raw.extend_from_slice(part);
        }
        raw.extend_from_slice(&self.data);
        DataItem::parse(raw.into(), Profile::Strict).map_err(SignError::Signer)
    }
}
