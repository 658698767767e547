//! What a gateway says about the chain, and posting to it. Numbers and status words are claims, not proofs.

use bytes::Bytes;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use weft_protocol::{Id, arweave::Transaction};

use super::{
    Gateway, GatewayError,
    http::{Answer, Failure, Host},
    path,
};

/// The state of the network as a gateway sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Info {
    /// The network's name, e.g. `arweave.N.1`.
    #[serde(default)]
    pub network: String,
    /// Height of the tip.
    pub height: u64,
    /// Hash of the tip.
    #[serde(default)]
    pub current: String,
}

/// A block, as far as we read it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BlockInfo {
    /// Its height.
    pub height: u64,
    /// Its hash.
    #[serde(rename = "indep_hash")]
    pub hash: String,
    /// When it was mined, in seconds since 1970.
    #[serde(default)]
    pub timestamp: u64,
    /// The ids of its transactions.
    #[serde(default)]
    pub txs: Vec<Id>,
}

/// How a posted transaction was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posted {
    /// It is in the mempool now.
    Accepted,
    /// It was there, or in a block, already.
    Already,
}

/// What is known of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxStatus {
    /// No gateway knows it.
    Unknown,
    /// In a mempool.
    Pending,
    /// In a block.
    Mined {
        /// Height of the block.
        height: u64,
        /// Hash of the block.
        block: String,
        /// 1 = in the tip block.
        confirmations: u64,
    },
}

#[derive(Deserialize)]
struct StatusAnswer {
    block_height: u64,
    block_indep_hash: String,
    number_of_confirmations: u64,
}

impl Gateway {
    /// Network name, height and tip.
    ///
    /// # Errors
    /// [`GatewayError::Unavailable`] when no gateway answers.
    pub async fn info(&self) -> Result<Info, GatewayError> {
        self.any("the network's state", |host| async { self.get(host, "/info").await?.json() }).await
    }

    /// Height of the tip.
    ///
    /// # Errors
    /// [`GatewayError::Unavailable`] when no gateway answers.
    pub async fn height(&self) -> Result<u64, GatewayError> {
        Ok(self.info().await?.height)
    }

    /// A recent block hash to anchor a new transaction to (base64url of 48 bytes).
    ///
    /// # Errors
    /// [`GatewayError::Unavailable`] when no gateway answers.
    pub async fn tx_anchor(&self) -> Result<String, GatewayError> {
        self.any("a transaction anchor", |host| async {
            let answer = self.get(host, "/tx_anchor").await?;
            let text = answer.text()?;
            let fits =
                text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
            if fits { Ok(text.to_owned()) } else { Err(Failure::Broken("its anchor is not an anchor".to_owned())) }
        })
        .await
    }

    /// The fee for a transaction with `bytes` of data (to `target`), in winston.
    ///
    /// # Errors
    /// [`GatewayError::Unavailable`] when no gateway answers.
    pub async fn price(&self, bytes: u64, target: Option<&Id>) -> Result<u128, GatewayError> {
        let at = target.map_or_else(|| format!("/price/{bytes}"), |target| format!("/price/{bytes}/{target}"));
        self.any("a price", |host| async { winston(&self.get(host, &at).await?) }).await
    }

    /// What a wallet holds, in winston.
    ///
    /// # Errors
    /// [`GatewayError::Unavailable`] when no gateway answers.
    pub async fn balance(&self, address: &Id) -> Result<u128, GatewayError> {
        let at = format!("/wallet/{address}/balance");
        self.any("a balance", |host| async { winston(&self.get(host, &at).await?) }).await
    }

    /// Posts a signed transaction (its data too, when it carries some) to the first gateway that takes it.
    ///
    /// # Errors
    /// [`GatewayError::Refused`] when it can never be taken as it is (the text says why: anchor, fee, signature),
    /// [`GatewayError::Unavailable`] when it may be taken later.
    pub async fn post_transaction(&self, transaction: &Transaction) -> Result<Posted, GatewayError> {
        let body =
            Bytes::from(serde_json::to_vec(transaction).map_err(|error| GatewayError::Setup(error.to_string()))?);
        let what = format!("transaction {}", transaction.id());
        self.any(&what, |host| {
            let body = body.clone();
            async move { self.post_to(host, body).await }
        })
        .await
    }

    async fn post_to(&self, host: &Host, body: Bytes) -> Result<Posted, Failure> {
        let answer = self.ask(host, Method::POST, "/tx", Some(("application/json", body))).await?;
        if answer.status == StatusCode::ALREADY_REPORTED {
            return Ok(Posted::Already);
        }
        let said = answer.reason().to_ascii_lowercase();
        if answer.status == StatusCode::BAD_REQUEST && said.contains("already") {
            return Ok(Posted::Already);
        }
        answer.success().map(|_| Posted::Accepted)
    }

    /// Posts one chunk of a transaction's data, already in its JSON form.
    ///
    /// # Errors
    /// As [`Self::post_transaction`]; a gateway that has not seen the header yet counts as unavailable.
    pub async fn post_chunk(&self, chunk: Bytes) -> Result<(), GatewayError> {
        self.any("a chunk", |host| {
            let chunk = chunk.clone();
            async move {
                let answer = self.ask(host, Method::POST, "/chunk", Some(("application/json", chunk))).await?;
                if answer.status == StatusCode::SEE_OTHER {
                    return Ok(());
                }
                let said = answer.reason();
                let later =
                    ["data_root_not_found", "exceeds_disk_pool_size_limit", "disk_full", "not_joined", "timeout"];
                if answer.status.is_client_error() && later.iter().any(|word| said.contains(word)) {
                    return Err(Failure::Broken(said));
                }
                answer.success().map(|_| ())
            }
        })
        .await
    }

    /// What is known of a transaction. [`TxStatus::Unknown`] only when every gateway says so.
    ///
    /// # Errors
    /// [`GatewayError::Unavailable`] when nobody knows it and somebody could not be asked.
    pub async fn status(&self, id: &Id) -> Result<TxStatus, GatewayError> {
        let at = format!("/tx/{id}/status");
        let answer =
            self.any(&format!("the status of {id}"), |host| async { status(&self.get(host, &at).await?) }).await;
        match answer {
            Err(GatewayError::NotFound(_)) => Ok(TxStatus::Unknown),
            other => other,
        }
    }

    /// The block at a height, if the chain is that long.
    ///
    /// # Errors
    /// [`GatewayError::Unavailable`] when no gateway answers.
    pub async fn block_at(&self, height: u64) -> Result<Option<BlockInfo>, GatewayError> {
        self.block(format!("/block/height/{height}")).await
    }

    /// The JSON of the block at a height as the first gateway gives it, if the chain is that long. Only that it is JSON and
    /// names this height is checked: the rest is the gateway's word.
    ///
    /// # Errors
    /// [`GatewayError::Unavailable`] when no gateway answers.
    pub async fn block_json(&self, height: u64) -> Result<Option<Bytes>, GatewayError> {
        let at = format!("/block/height/{height}");
        let answer = self.any("a block", |host| async {
            let answer = self.get(host, &at).await?;
            let block: Value = answer.json()?;
            match block.get("height").and_then(Value::as_u64) {
                Some(found) if found == height => Ok(Some(answer.body)),
                _ => Err(Failure::Broken(format!("it served another block than that of height {height}"))),
            }
        });
        match answer.await {
            Err(GatewayError::NotFound(_)) => Ok(None),
            other => other,
        }
    }

    /// The block with a hash, if the chain has it.
    ///
    /// # Errors
    /// [`GatewayError::Unavailable`] when no gateway answers.
    pub async fn block_by_hash(&self, hash: &str) -> Result<Option<BlockInfo>, GatewayError> {
        if hash.len() > 64 || !hash.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            return Ok(None);
        }
        self.block(format!("/block/hash/{hash}")).await
    }

    async fn block(&self, at: String) -> Result<Option<BlockInfo>, GatewayError> {
        match self.any("a block", |host| async { self.get(host, &at).await?.json().map(Some) }).await {
            Err(GatewayError::NotFound(_)) => Ok(None),
            other => other,
        }
    }

    /// Asks a GraphQL question; the `data` of the answer.
    ///
    /// # Errors
    /// [`GatewayError::Unavailable`] when no gateway answers without errors.
    pub async fn graphql(&self, query: &str, variables: Value) -> Result<Value, GatewayError> {
        let body = serde_json::json!({ "query": query, "variables": variables });
        self.any("a GraphQL question", |host| self.graphql_at(host, &body)).await
    }

    /// Passes a client's GraphQL body on; the whole answer, errors in it included.
    ///
    /// # Errors
    /// [`GatewayError::Unavailable`] when no gateway answers.
    pub async fn graphql_raw(&self, body: Bytes) -> Result<Bytes, GatewayError> {
        self.any("a GraphQL question", |host| {
            let body = body.clone();
            async move {
                let answer = self.ask(host, Method::POST, "/graphql", Some(("application/json", body))).await?;
                Ok(answer.success()?.body)
            }
        })
        .await
    }

    pub(super) async fn graphql_at(&self, host: &Host, body: &Value) -> Result<Value, Failure> {
        let bytes = Bytes::from(body.to_string());
        let answer = self.ask(host, Method::POST, "/graphql", Some(("application/json", bytes))).await?.success()?;
        let mut answer: Value = answer.json()?;
        match (answer.get("errors").map(ToString::to_string), answer.get_mut("data").map(Value::take)) {
            (None, Some(data)) if data.is_object() => Ok(data),
            (errors, _) => Err(Failure::Broken(format!("GraphQL: {}", errors.unwrap_or_else(|| "no data".to_owned())))),
        }
    }

    /// The header of a transaction from one host, pending or mined; `None` when it has none by that id.
    pub(super) async fn header_at(&self, host: &Host, id: &Id) -> Result<Option<Transaction>, Failure> {
        let answer = match self.get(host, &path("/tx/", id)).await {
            Ok(answer) if answer.status == StatusCode::ACCEPTED => self.get(host, &path("/unconfirmed_tx/", id)).await,
            other => other,
        };
        match answer {
            Ok(answer) => answer.json().map(Some),
            Err(Failure::Absent) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

fn winston(answer: &Answer) -> Result<u128, Failure> {
    let text = answer.text()?;
    text.parse().map_err(|_| Failure::Broken("its answer is not an amount in winston".to_owned()))
}

fn status(answer: &Answer) -> Result<TxStatus, Failure> {
    if answer.status == StatusCode::ACCEPTED || answer.text().is_ok_and(|text| text.eq_ignore_ascii_case("pending")) {
        return Ok(TxStatus::Pending);
    }
    let found: StatusAnswer = answer.json()?;
    Ok(TxStatus::Mined {
        height: found.block_height,
        block: found.block_indep_hash,
        confirmations: found.number_of_confirmations,
    })
}
