//! Building a bundle transaction over stored items and sending it out.

use std::sync::Arc;

use weft_protocol::{
    Id,
    anchor::Event,
    ans104::{DataItem, RsaSigner, Signer, bundle},
};
use weft_storage::arweave::{
    bundler::{self, BundleTransaction, MAX_BODY_DATA, Terms},
    gateway::{Gateway, GatewayError},
};

use super::AnchorError;

/// What is paid above the asked price, in tenths: transactions are mined by reward.
const PREMIUM_TENTHS: u128 = 1;

/// A signed bundle and the height of its anchor.
pub(super) struct Built {
    pub transaction: BundleTransaction,
    pub anchor_height: u64,
    pub balance: u128,
}

/// Builds a bundle over `items` at today's price and anchor. Nothing is sent.
pub(super) async fn build(
    gateway: &Gateway,
    wallet: &Arc<RsaSigner>,
    items: Vec<DataItem>,
    tip: u64,
) -> Result<Built, AnchorError> {
    let address = Id::sha256(wallet.owner());
    let anchor = gateway.tx_anchor().await?;
    // Unknown to the gateway asked: as if it were the tip, which gives up later rather than too early.
    let anchor_height = gateway.block_by_hash(&anchor).await?.map_or(tip, |block| block.height);
    let price = gateway.price(bundler::bundle_size(&items), None).await?;
    let reward = price.saturating_add(price.saturating_mul(PREMIUM_TENTHS) / 10);
    let balance = gateway.balance(&address).await?;
    if balance < reward {
        return Err(AnchorError::Poor { address, balance, price: reward });
    }
    let wallet = wallet.clone();
    let signing = tokio::task::spawn_blocking(move || bundler::build(&items, &Terms { anchor, reward }, &wallet)).await;
    let transaction = signing.map_err(|error| AnchorError::Record(error.to_string()))??;
    Ok(Built { transaction, anchor_height, balance })
}

/// The bundle transaction of a stored header and its items.
pub(super) fn restore(header: weft_protocol::arweave::Transaction, items: &[DataItem]) -> BundleTransaction {
    BundleTransaction { header, data: bundle::write(items) }
}

/// Posts header and data, or only the data; what came of it, and why it did not do.
pub(super) async fn send(gateway: &Gateway, bundle: &BundleTransaction, only_data: bool) -> (Event, Option<String>) {
    match try_send(gateway, bundle, only_data).await {
        Ok(()) => (Event::Accepted, None),
        Err(error @ AnchorError::Gateway(GatewayError::Refused { .. })) => (Event::Refused, Some(error.to_string())),
        Err(error) => (Event::Unclear, Some(error.to_string())),
    }
}

async fn try_send(gateway: &Gateway, bundle: &BundleTransaction, only_data: bool) -> Result<(), AnchorError> {
    if !only_data {
        gateway.post_transaction(&bundle.to_post()?).await?;
    }
    if only_data || bundle.data.len() > MAX_BODY_DATA {
        for chunk in bundle.chunks() {
            match gateway.post_chunk(chunk).await {
                // The header is out: from here on nothing is refused for good.
                Err(GatewayError::Refused { what, url, reason, .. }) => {
                    return Err(GatewayError::Unavailable { what, tried: vec![format!("{url}: {reason}")] }.into());
                }
                other => other?,
            }
        }
    }
    Ok(())
}
