//! Verifying an item of unknown, large size while it arrives, in constant memory.

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha384};

use super::{ItemError, ItemHead, MAX_HEAD_LEN, Profile};

/// Takes the bytes of an item piece by piece. Keeps the head only (at most [`MAX_HEAD_LEN`] bytes); the caller puts the
/// pieces where they belong and drops them again when [`ItemStream::finish`] refuses.
pub struct ItemStream {
    profile: Profile,
    limit: u64,
    received: u64,
    pending: BytesMut,
    head: Option<ItemHead>,
    data: Sha384,
}

/// An item whose signature fits, without its data.
#[derive(Debug, Clone)]
pub struct StreamedItem {
    /// Everything but the data.
    pub head: ItemHead,
    /// Where the data starts in the item, in bytes.
    pub data_offset: u64,
    /// Bytes of data.
    pub data_len: u64,
}

impl ItemStream {
    /// A reader that takes items of at most `limit` bytes.
    pub fn new(profile: Profile, limit: u64) -> Self {
        Self { profile, limit, received: 0, pending: BytesMut::new(), head: None, data: Sha384::new() }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// As soon as the head is known to be wrong or the limit is passed. The stream is of no use afterwards.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), ItemError> {
        self.received = self.received.saturating_add(piece.len() as u64);
        if self.received > self.limit {
            return Err(ItemError::TooLarge { limit: self.limit });
        }
        if self.head.is_some() {
            self.data.update(piece);
            return Ok(());
        }
        let room = MAX_HEAD_LEN.saturating_sub(self.pending.len()).min(piece.len());
        let (start, rest) = piece.split_at_checked(room).unwrap_or((piece, &[]));
        self.pending.extend_from_slice(start);
        self.read_head()?;
        self.data.update(rest);
        Ok(())
    }

    /// Tries to read the head of what is pending; what follows it is data.
    fn read_head(&mut self) -> Result<(), ItemError> {
        let bytes = std::mem::take(&mut self.pending).freeze();
        match ItemHead::parse(&bytes, self.profile) {
            Ok(head) => {
                self.data.update(bytes.get(head.len()..).unwrap_or_default());
                self.head = Some(head);
                Ok(())
            }
            Err(ItemError::Truncated { .. }) => {
                self.pending = reclaim(bytes);
                Ok(())
            }
            Err(wrong) => Err(wrong),
        }
    }

    /// The head, once it has arrived. Nothing in it is proven before [`ItemStream::finish`].
    pub fn head(&self) -> Option<&ItemHead> {
        self.head.as_ref()
    }

    /// Checks the signature over everything received.
    ///
    /// # Errors
    /// [`ItemError::Truncated`] when the head never became whole, [`ItemError::Signature`] when the signature does not fit.
    pub fn finish(self) -> Result<StreamedItem, ItemError> {
        let head = match self.head {
            Some(head) => head,
            None => ItemHead::parse(&self.pending.freeze(), self.profile)?,
        };
        let data_offset = head.len() as u64;
        let data_len = self.received.saturating_sub(data_offset);
        head.verify(data_len, &self.data.finalize().into())?;
        Ok(StreamedItem { head, data_offset, data_len })
    }
}

/// The buffer back without a copy; nobody else holds it.
fn reclaim(bytes: Bytes) -> BytesMut {
    bytes.try_into_mut().unwrap_or_else(|shared| BytesMut::from(shared.as_ref()))
}
