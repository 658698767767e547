//! Packing data items into a bundle transaction of bounded size, and the chunks that carry its data.
//!
//! Where it sits: the node's anchor packs what it anchors, the devnet what its uploader took. Pure: who posts, and when,
//! is decided elsewhere.

use bytes::Bytes;
use weft_protocol::{
    ans104::{DataItem, RsaSigner, Tag, bundle},
    arweave::{Transaction, TransactionError, merkle},
    b64,
};

/// Data up to this size travels in the body of the transaction, more as chunks.
pub const MAX_BODY_DATA: usize = 256 << 10;
/// Bytes of the bundle's header per item, and once for the count.
const ENTRY: usize = 64;
const COUNT: usize = 32;

/// How much goes into one bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most items.
    pub items: usize,
    /// The most bytes of items and header; one item alone may have more.
    pub bytes: usize,
}

impl Default for Bounds {
    /// 1,000 items or 900 KiB.
    fn default() -> Self {
        Self { items: 1000, bytes: 900 << 10 }
    }
}

/// What a transaction is built under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// A recent block hash, base64url.
    pub anchor: String,
    /// What is paid, in winston.
    pub reward: u128,
}

/// A signed bundle transaction.
#[derive(Debug, Clone)]
pub struct BundleTransaction {
    /// The transaction without its data.
    pub header: Transaction,
    /// The data: the bundle.
    pub data: Bytes,
}

/// Why no bundle transaction could be made.
#[derive(Debug, thiserror::Error)]
pub enum BundlerError {
    /// There is nothing to bundle.
    #[error("there are no items to bundle")]
    Empty,
    /// The anchor is no base64url.
    #[error("{0:?} is not an anchor: expected base64url of a block hash")]
    Anchor(String),
    /// The transaction could not be made or signed.
    #[error("the bundle transaction could not be made: {0}")]
    Transaction(#[from] TransactionError),
}

/// How many of the items with these raw sizes (in bytes) go into the next bundle: at least one if there is any.
pub fn fill(sizes: impl IntoIterator<Item = usize>, bounds: Bounds) -> usize {
    let mut total = COUNT;
    let fits = |size: usize| {
        total = total.saturating_add(size).saturating_add(ENTRY);
        total <= bounds.bytes
    };
    let mut fits = fits;
    let mut count = 0;
    for size in sizes.into_iter().take(bounds.items) {
        if !fits(size) && count > 0 {
            break;
        }
        count += 1;
    }
    count
}

/// Bytes of the bundle of these items.
pub fn bundle_size(items: &[DataItem]) -> u64 {
    let sizes = items.iter().map(|item| item.raw().len().saturating_add(ENTRY));
    sizes.fold(COUNT, usize::saturating_add) as u64
}

/// Builds and signs the transaction that carries `items` in this order.
///
/// # Errors
/// [`BundlerError`]; nothing was sent anywhere.
pub fn build(items: &[DataItem], terms: &Terms, wallet: &RsaSigner) -> Result<BundleTransaction, BundlerError> {
    if items.is_empty() {
        return Err(BundlerError::Empty);
    }
    let anchor = b64::decode(&terms.anchor).ok_or_else(|| BundlerError::Anchor(terms.anchor.clone()))?;
    let data = bundle::write(items);
    let app = [Tag::new("App-Name", "Weft"), Tag::new("App-Version", env!("CARGO_PKG_VERSION"))];
    let signed = Transaction::builder(anchor, terms.reward)
        .tags(bundle::carrier_tags().into_iter().chain(app))
        .data(data.clone())
        .sign(wallet)?;
    Ok(BundleTransaction { header: signed.header(), data })
}

impl BundleTransaction {
    /// What to post to `/tx`: with the data when it is small, else without.
    ///
    /// # Errors
    /// [`BundlerError::Transaction`] when data and header do not belong together.
    pub fn to_post(&self) -> Result<Transaction, BundlerError> {
        if self.data.len() > MAX_BODY_DATA {
            return Ok(self.header.clone());
        }
        let field = |_| TransactionError::Field { field: "data", reason: "could not be put back" };
        let mut json = serde_json::to_value(&self.header).map_err(field)?;
        if let Some(data) = json.get_mut("data") {
            *data = b64::encode(&self.data).into();
        }
        Ok(serde_json::from_value(json).map_err(field)?)
    }

    /// The JSON bodies to post to `/chunk` (all of the data), each made when it is needed.
    pub fn chunks(&self) -> impl Iterator<Item = Bytes> + '_ {
        let cut = merkle::chunk(&self.data);
        let root = cut.as_ref().map(|cut| cut.data_root.to_string()).unwrap_or_default();
        let size = self.data.len().to_string();
        cut.into_iter().flat_map(|cut| cut.chunks).map(move |chunk| {
            let bytes = usize::try_from(chunk.start).ok().zip(usize::try_from(chunk.end).ok());
            let bytes = bytes.and_then(|(start, end)| self.data.get(start..end)).unwrap_or_default();
            let json = serde_json::json!({
                "data_root": root, "data_size": size, "data_path": b64::encode(&chunk.data_path),
                "offset": chunk.offset.to_string(), "chunk": b64::encode(bytes),
            });
            Bytes::from(json.to_string())
        })
    }
}

#[cfg(test)]
mod tests;
