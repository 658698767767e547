//! Layer-1 transactions: format 2 made, signed and verified; format 1 verified only.

use bytes::Bytes;

use super::merkle;
use crate::{
    Id,
    ans104::{DeepHash, RsaSigner, Signer as _, Tag, deep_hash},
    keys::{KeyError, rsa},
};

/// Most bytes of names and values of a transaction's tags together.
pub const MAX_TAG_BYTES: usize = 2048;
/// Most tags of a transaction.
pub const MAX_TAGS: usize = 2048;
/// Most bytes of data inside a transaction of format 1.
const MAX_FORMAT1_DATA: usize = 10 * 1024 * 1024;

/// The two forms of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Legacy: the data itself is signed.
    One,
    /// The data's root is signed.
    Two,
}

/// A tag of a transaction: bytes, usually text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxTag {
    /// The name.
    pub name: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

impl From<Tag> for TxTag {
    fn from(tag: Tag) -> Self {
        Self { name: tag.name.into_bytes(), value: tag.value.into_bytes() }
    }
}

impl From<&TxTag> for Tag {
    /// As text, with replacement characters for what is not UTF-8.
    fn from(tag: &TxTag) -> Self {
        Self::new(String::from_utf8_lossy(&tag.name), String::from_utf8_lossy(&tag.value))
    }
}

/// Why a transaction is not acceptable or cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// A JSON field that is missing or has a wrong form.
    #[error("transaction field {field}: {reason}")]
    Field {
        /// Name of the field in the HTTP API.
        field: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// The id is not SHA-256 of the signature.
    #[error("the transaction says its id is {said}, its signature makes it {found}")]
    WrongId {
        /// From the JSON.
        said: Id,
        /// From the signature.
        found: Id,
    },
    /// Tags over the limit.
    #[error("{count} tags with {bytes} bytes; at most 2048 tags with 2048 bytes of names and values are allowed")]
    Tags {
        /// Number of tags.
        count: usize,
        /// Bytes of names and values.
        bytes: usize,
    },
    /// The data is not what size and root say.
    #[error("the data does not fit the transaction's {0}")]
    Data(&'static str),
    /// The signature does not fit.
    #[error("transaction signature refused: {0}")]
    Signature(#[from] KeyError),
}

/// A transaction; amounts in winston (10^-12 AR).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    pub(super) format: Format,
    pub(super) denomination: u32,
    pub(super) last_tx: Vec<u8>,
    pub(super) owner: Vec<u8>,
    pub(super) tags: Vec<TxTag>,
    pub(super) target: Option<Id>,
    pub(super) quantity: u128,
    pub(super) reward: u128,
    pub(super) content: Content,
    pub(super) signature: Vec<u8>,
}

/// The data of a transaction: in full, or only described.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Content {
    pub(super) size: u64,
    pub(super) root: Option<Id>,
    /// Empty when the data travels as chunks.
    pub(super) body: Bytes,
}

impl Transaction {
    /// Starts a transaction of format 2 with an anchor (`/tx_anchor`, decoded: 32 or 48 bytes) and a reward in winston.
    pub fn builder(anchor: Vec<u8>, reward: u128) -> TransactionBuilder {
        TransactionBuilder { anchor, reward, ..TransactionBuilder::default() }
    }

    /// The id: SHA-256 of the signature.
    pub fn id(&self) -> Id {
        Id::sha256(&self.signature)
    }

    /// The form.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The anchor: a recent block hash (48 bytes), the wallet's last transaction (32) or nothing.
    pub fn last_tx(&self) -> &[u8] {
        &self.last_tx
    }

    /// The signer's RSA modulus.
    pub fn owner(&self) -> &[u8] {
        &self.owner
    }

    /// The signer's address.
    pub fn owner_address(&self) -> Id {
        Id::sha256(&self.owner)
    }

    /// All tags in their order.
    pub fn tags(&self) -> &[TxTag] {
        &self.tags
    }

    /// All tags as text.
    pub fn text_tags(&self) -> Vec<Tag> {
        self.tags.iter().map(Tag::from).collect()
    }

    /// The value of the first tag of exactly this name, when it is text.
    pub fn tag(&self, name: &str) -> Option<&str> {
        let tag = self.tags.iter().find(|tag| tag.name == name.as_bytes())?;
        std::str::from_utf8(&tag.value).ok()
    }

    /// Who gets [`Transaction::quantity`].
    pub fn target(&self) -> Option<Id> {
        self.target
    }

    /// Winston transferred.
    pub fn quantity(&self) -> u128 {
        self.quantity
    }

    /// Winston paid to the network.
    pub fn reward(&self) -> u128 {
        self.reward
    }

    /// Bytes of the data.
    pub fn data_size(&self) -> u64 {
        self.content.size
    }

    /// The root of the data's chunks; `None` without data.
    pub fn data_root(&self) -> Option<Id> {
        self.content.root
    }

    /// The data, when it is here (empty when it travels as chunks).
    pub fn data(&self) -> &Bytes {
        &self.content.body
    }

    /// The signature.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The same transaction without its data, as posted before its chunks.
    #[must_use]
    pub fn header(&self) -> Self {
        let content = Content { body: Bytes::new(), ..self.content };
        Self { content, ..self.clone() }
    }

    /// The same transaction with its data, which must fit size and root. In format 1 the signature covers the data: verify it.
    ///
    /// # Errors
    /// [`TransactionError::Data`].
    pub fn with_data(self, data: Bytes) -> Result<Self, TransactionError> {
        if self.format == Format::Two && self.content.size > 0 {
            self.check_data(&data)?;
        } else if data.len() as u64 != self.content.size {
            return Err(TransactionError::Data("data_size"));
        }
        Ok(Self { content: Content { body: data, ..self.content }, ..self })
    }

    /// Checks limits, the signature, and the data if it is here.
    ///
    /// # Errors
    /// [`TransactionError`] for the first thing found wrong.
    pub fn verify(&self) -> Result<(), TransactionError> {
        self.check_limits()?;
        match self.format {
            Format::One => self.check_format1_data()?,
            Format::Two if self.content.body.is_empty() => {}
            Format::Two => self.check_data(&self.content.body)?,
        }
        Ok(rsa::verify(&self.owner, &self.signed_message(), &self.signature)?)
    }

    /// Checks that `data` is the data of this transaction: size and root.
    ///
    /// # Errors
    /// [`TransactionError::Data`].
    pub fn check_data(&self, data: &[u8]) -> Result<(), TransactionError> {
        if data.len() as u64 != self.content.size {
            return Err(TransactionError::Data("data_size"));
        }
        if merkle::data_root(data) == self.content.root { Ok(()) } else { Err(TransactionError::Data("data_root")) }
    }

    fn check_limits(&self) -> Result<(), TransactionError> {
        let bytes =
            self.tags.iter().map(|tag| tag.name.len().saturating_add(tag.value.len())).fold(0, usize::saturating_add);
        if self.tags.len() > MAX_TAGS || bytes > MAX_TAG_BYTES {
            return Err(TransactionError::Tags { count: self.tags.len(), bytes });
        }
        if self.quantity > 0 && self.target.is_none() {
            return Err(TransactionError::Field { field: "target", reason: "a quantity needs a target of 32 bytes" });
        }
        if self.format == Format::Two && (self.content.size == 0) != self.content.root.is_none() {
            return Err(TransactionError::Field {
                field: "data_root",
                reason: "must be empty exactly when data_size is 0",
            });
        }
        Ok(())
    }

    fn check_format1_data(&self) -> Result<(), TransactionError> {
        let len = self.content.body.len();
        if len > MAX_FORMAT1_DATA || len as u64 != self.content.size {
            return Err(TransactionError::Data("data_size"));
        }
        Ok(())
    }

    /// What is signed: a deep hash in format 2, all fields one after the other in format 1.
    pub fn signed_message(&self) -> Vec<u8> {
        match self.format {
            Format::One => self.format1_message(),
            Format::Two => self.format2_hash().to_vec(),
        }
    }

    fn target_bytes(&self) -> &[u8] {
        self.target.as_ref().map(|id| id.as_bytes().as_slice()).unwrap_or_default()
    }

    fn format2_hash(&self) -> [u8; 48] {
        let (quantity, reward) = (self.quantity.to_string(), self.reward.to_string());
        let (size, denomination) = (self.content.size.to_string(), self.denomination.to_string());
        let root = self.content.root.as_ref().map(|id| id.as_bytes().as_slice()).unwrap_or_default();
        let blob = DeepHash::Blob;
        let tags = self.tags.iter().map(|tag| DeepHash::List(vec![blob(&tag.name), blob(&tag.value)])).collect();
        let mut list = vec![blob(b"2")];
        if self.denomination > 0 {
            list.insert(0, blob(denomination.as_bytes()));
        }
        list.extend([blob(&self.owner), blob(self.target_bytes()), blob(quantity.as_bytes()), blob(reward.as_bytes())]);
        list.extend([blob(&self.last_tx), DeepHash::List(tags), blob(size.as_bytes()), blob(root)]);
        deep_hash(&DeepHash::List(list))
    }

    fn format1_message(&self) -> Vec<u8> {
        let (quantity, reward) = (self.quantity.to_string(), self.reward.to_string());
        let fields: [&[u8]; 6] = [
            &self.owner,
            self.target_bytes(),
            &self.content.body,
            quantity.as_bytes(),
            reward.as_bytes(),
            &self.last_tx,
        ];
        let mut message = fields.concat();
        for tag in &self.tags {
            message.extend_from_slice(&tag.name);
            message.extend_from_slice(&tag.value);
        }
        message
    }
}

/// Collects the parts of a transaction of format 2; start with [`Transaction::builder`].
#[derive(Debug, Clone, Default)]
pub struct TransactionBuilder {
    anchor: Vec<u8>,
    reward: u128,
    target: Option<Id>,
    quantity: u128,
    tags: Vec<TxTag>,
    content: Content,
}

impl TransactionBuilder {
    /// Transfers `quantity` winston to `target`.
    #[must_use]
    pub fn transfer(mut self, target: Id, quantity: u128) -> Self {
        self.target = Some(target);
        self.quantity = quantity;
        self
    }

    /// More tags at the end.
    #[must_use]
    pub fn tags(mut self, tags: impl IntoIterator<Item = Tag>) -> Self {
        self.tags.extend(tags.into_iter().map(TxTag::from));
        self
    }

    /// The data; hashes all of it.
    #[must_use]
    pub fn data(mut self, data: impl Into<Bytes>) -> Self {
        let body = data.into();
        self.content = Content { size: body.len() as u64, root: merkle::data_root(&body), body };
        self
    }

    /// Data that travels as chunks, by the size and root that [`merkle::chunk`] gave.
    #[must_use]
    pub fn data_root(mut self, size: u64, root: Id) -> Self {
        self.content = Content { size, root: Some(root), body: Bytes::new() };
        self
    }

    /// Signs the transaction.
    ///
    /// # Errors
    /// [`TransactionError`] when a limit is passed or the key fails.
    pub fn sign(self, signer: &RsaSigner) -> Result<Transaction, TransactionError> {
        if !matches!(self.anchor.len(), 0 | 32 | 48) {
            return Err(TransactionError::Field { field: "last_tx", reason: "must be empty or 32 or 48 bytes" });
        }
        let mut transaction = Transaction {
            format: Format::Two,
            denomination: 0,
            last_tx: self.anchor,
            owner: signer.owner().to_vec(),
            tags: self.tags,
            target: self.target,
            quantity: self.quantity,
            reward: self.reward,
            content: self.content,
            signature: Vec::new(),
        };
        transaction.check_limits()?;
        transaction.signature = signer.sign_bytes(&transaction.signed_message())?;
        Ok(transaction)
    }
}
