//! A client of a node's HTTP doors: `/v1` and AO's legacy routes.
//!
//! Where it sits: the only part of `cli/` that speaks HTTP. Answers are bounded, and every failure says which node and
//! what to do.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};
use weft_protocol::{
    Id,
    ans104::{ItemBuilder, Signer},
    cast,
};

use super::exit::{CliError, CliResult, Exit};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For calls that only look something up.
const LOOKUP: Duration = Duration::from_secs(30);
/// For calls that carry data or wait for other nodes.
const SLOW: Duration = Duration::from_secs(120);
/// Answers larger than this are refused.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// How often a result that is not there yet is asked for again.
const POLL: Duration = Duration::from_millis(250);

/// How long a proof of the right to a cast's outcome is good for, in milliseconds.
const PROOF_LASTS_MS: u64 = 60_000;

/// A connection to one node.
#[derive(Clone)]
pub struct Client {
    base: Url,
    http: reqwest::Client,
}

impl Client {
    /// A client of the node at `url`; `field` names where the address came from.
    pub fn new(url: &str, field: &str) -> CliResult<Self> {
        let example = "give the HTTP address of a node, such as --node http://127.0.0.1:4002";
        let base = Url::parse(url).map_err(|e| CliError::usage(field, url, format!("not a URL: {e}")).fix(example))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(CliError::usage(field, url, "not an http or https address").fix(example));
        }
        let local = matches!(base.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let mut builder = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT);
        if local {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|e| CliError::new(Exit::Failed, format!("cannot set up HTTP: {e}")))?;
        Ok(Self { base, http })
    }

    /// The address this client talks to, without the last slash.
    pub fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// GET `path` as JSON.
    pub async fn get(&self, path: &str, query: &[(&str, String)]) -> CliResult<Value> {
        self.json(Method::GET, path, query, None, LOOKUP).await
    }

    /// Posts a signed item; the node has it ordered and answers with its slot.
    pub async fn submit(&self, item: Bytes) -> CliResult<Value> {
        self.json(Method::POST, "/v1/items", &[], Some(("application/octet-stream", item)), SLOW).await
    }

    /// Posts a signed item to the uploader (modules: data that no process orders).
    pub async fn upload(&self, item: Bytes) -> CliResult<Value> {
        self.json(Method::POST, "/tx", &[], Some(("application/octet-stream", item)), SLOW).await
    }

    /// Evaluates `message` on the newest state without ordering it.
    pub async fn dry_run(&self, process: Id, message: &Value) -> CliResult<Value> {
        let query = [("process-id", process.to_string())];
        let body = ("application/json", Bytes::from(message.to_string()));
        self.json(Method::POST, "/dry-run", &query, Some(body), SLOW).await
    }

    /// Asks the gateway behind the node.
    pub async fn graphql(&self, query: &str, variables: Value) -> CliResult<Value> {
        let body = Bytes::from(json!({ "query": query, "variables": variables }).to_string());
        self.json(Method::POST, "/graphql", &[], Some(("application/json", body)), LOOKUP).await
    }

    /// True if an item or transaction of this id can be had through the node.
    pub async fn has(&self, id: Id) -> CliResult<bool> {
        match self.send(Method::GET, &format!("/raw/{id}"), &[], None, LOOKUP).await {
            Ok(_) => Ok(true),
            Err(e) if e.exit == Exit::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// The result of a message, waiting up to `wait` for its evaluation.
    pub async fn result(&self, process: Id, message: Id, wait: Duration) -> CliResult<Value> {
        let deadline = Instant::now() + wait;
        let (path, query) = (format!("/result/{message}"), [("process-id", process.to_string())]);
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(POLL);
            match self.json(Method::GET, &path, &query, None, left.min(SLOW)).await {
                // Busy document of AO's compute unit: not evaluated yet.
                Ok(answer) if answer.get("Messages").is_none() && answer.get("Error").is_none() => {}
                Ok(answer) => return Ok(answer),
                Err(e) if matches!(e.exit, Exit::Timeout) => {}
                Err(e) => return Err(e),
            }
            if Instant::now() >= deadline {
                return Err(CliError::new(Exit::Timeout, format!("no result within {} s", wait.as_secs())).fix(format!(
                    "the message is ordered and will be evaluated: ask again with `weft process result {process} {message}`"
                )));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// As [`Client::result`]; of a cast the outcome is asked for in the name of `signer`, which is called for only then.
    pub async fn result_as<S>(&self, process: Id, message: Id, wait: Duration, signer: S) -> CliResult<Value>
    where
        S: FnOnce() -> CliResult<Box<dyn Signer>>,
    {
        let refused = match self.result(process, message, wait).await {
            Err(error) if error.exit == Exit::Failed => error,
            answer => return answer,
        };
        let receipt = self.get(&format!("/v1/processes/{process}/messages/{message}"), &[]).await;
        if !receipt.is_ok_and(|receipt| receipt.get("cast") == Some(&Value::Bool(true))) {
            return Err(refused);
        }
        let expires = crate::clock::now_ms().saturating_add(PROOF_LASTS_MS);
        let tags = cast::proof_tags(&process, &message, expires);
        let proof = ItemBuilder::new().tags(tags).sign(signer()?.as_ref());
        let proof = proof.map_err(|e| CliError::new(Exit::Usage, e).fix("sign with another key file (--wallet)"))?;
        let (path, query) = (format!("/result/{message}"), [("process-id", process.to_string())]);
        let body = ("application/octet-stream", proof.raw().clone());
        self.json(Method::POST, &path, &query, Some(body), SLOW).await.map_err(|error| match error.exit {
            Exit::Failed => {
                error.fix("sign with the key that sent the message, or the process's owner's (--wallet FILE)")
            }
            _ => error,
        })
    }

    async fn json(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<(&str, Bytes)>,
        wait: Duration,
    ) -> CliResult<Value> {
        let bytes = self.send(method, path, query, body, wait).await?;
        serde_json::from_slice(&bytes).map_err(|e| {
            CliError::new(
                Exit::Failed,
                format!("{}{path} answered with something other than JSON: {e}", self.address()),
            )
            .fix("check with --node that this is a Weft node")
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<(&str, Bytes)>,
        wait: Duration,
    ) -> CliResult<Bytes> {
        let url = format!("{}{path}", self.address());
        let mut request = self.http.request(method, url).query(query).timeout(wait);
        if let Some((kind, body)) = body {
            request = request.header("content-type", kind).body(body);
        }
        let answer = request.send().await.map_err(|e| self.failed(path, &e))?;
        let status = answer.status();
        let bytes = self.body(path, answer).await?;
        if status.is_success() { Ok(bytes) } else { Err(self.refused(path, status, &bytes)) }
    }

    async fn body(&self, path: &str, mut answer: reqwest::Response) -> CliResult<Bytes> {
        let mut bytes = BytesMut::new();
        while let Some(piece) = answer.chunk().await.map_err(|e| self.failed(path, &e))? {
            if bytes.len().saturating_add(piece.len()) > MAX_ANSWER {
                return Err(CliError::new(
                    Exit::Failed,
                    format!("{path}: the answer is larger than {MAX_ANSWER} bytes"),
                )
                .fix("ask for less with --limit"));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.freeze())
    }

    /// No whole answer came.
    fn failed(&self, path: &str, error: &reqwest::Error) -> CliError {
        let node = self.address();
        if error.is_timeout() && !error.is_connect() {
            return CliError::new(Exit::Timeout, format!("{node}{path} did not answer in time"))
                .fix("try again, or ask another node with --node");
        }
        let mut cause = String::new();
        let mut source = std::error::Error::source(error);
        while let Some(e) = source {
            cause = format!(" ({e})");
            source = e.source();
        }
        CliError::new(Exit::Unreachable, format!("no node answers at {node}{cause}"))
            .fix("start a network with `weft testnet up`, or name a running node with --node URL or WEFT_NODE")
    }

    /// The node answered with an error.
    fn refused(&self, path: &str, status: StatusCode, body: &[u8]) -> CliError {
        let exit = match status.as_u16() {
            404 => Exit::NotFound,
            502 | 503 => Exit::Unreachable,
            408 | 504 => Exit::Timeout,
            _ => Exit::Failed,
        };
        let reason = reason(body).unwrap_or_else(|| format!("{}{path} answered {status}", self.address()));
        let error = CliError::new(exit, reason);
        match status.as_u16() {
            429 | 503 => error.fix("try again in a moment"),
            502 => error.fix(format!("what the node at {} lacks: weft status --node {0}", self.address())),
            _ => error,
        }
    }
}

/// The reason in a JSON error document: `{"error": "…"}` or `{"error": {"reason": "…"}}`, else the text itself.
fn reason(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body.get(..4096.min(body.len())).unwrap_or_default()).trim().to_owned();
    let document: Option<Value> = serde_json::from_slice(body).ok();
    let found = document.as_ref().and_then(|d| {
        let error = d.get("error").or_else(|| d.get("reason")).or_else(|| d.get("message"))?;
        let inner = error.get("reason").or_else(|| error.get("message")).unwrap_or(error);
        inner.as_str().map(str::to_owned)
    });
    found.or((!text.is_empty()).then_some(text)).map(|t| super::table::printable(&t))
}
