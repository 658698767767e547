//! Handing single data items to an uploader. Its receipt is a promise, not an anchor.

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use weft_protocol::{Id, ans104::DataItem};

use super::{
    Gateway, GatewayError,
    http::{Failure, Host},
};

/// What an uploader promises.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Receipt {
    /// The item it took.
    pub id: Id,
    /// When, in milliseconds since 1970.
    #[serde(default)]
    pub timestamp: u64,
    /// The height by which it promises the item to be on chain; 0 when it does not say.
    #[serde(default, rename = "deadlineHeight")]
    pub deadline_height: u64,
}

impl Gateway {
    /// Hands an item to the first uploader that takes it (`/tx/arweave`, else `/tx`).
    ///
    /// # Errors
    /// [`GatewayError::Refused`] when no uploader wants it, [`GatewayError::Unavailable`] when one may take it later.
    pub async fn upload(&self, item: &DataItem) -> Result<Receipt, GatewayError> {
        let own = &self.inner.uploaders;
        let hosts = if own.is_empty() { &self.inner.hosts } else { own };
        self.each(&format!("item {}", item.id()), hosts, |host| self.upload_at(host, item)).await
    }

    async fn upload_at(&self, host: &Host, item: &DataItem) -> Result<Receipt, Failure> {
        let mut answer = None;
        for path in ["/tx/arweave", "/tx"] {
            let body = Some(("application/octet-stream", item.raw().clone()));
            let got = self.ask(host, Method::POST, path, body).await?;
            let elsewhere = matches!(got.status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
            answer = Some(got);
            if !elsewhere {
                break;
            }
        }
        let answer = answer.ok_or(Failure::Absent)?.success()?;
        if answer.status == StatusCode::ACCEPTED && answer.body.is_empty() {
            return Err(Failure::Broken("it is busy taking this very item".to_owned()));
        }
        let receipt: Receipt = answer.json()?;
        if receipt.id == item.id() {
            Ok(receipt)
        } else {
            Err(Failure::Broken(format!("its receipt is for another item, {}", receipt.id)))
        }
    }
}
