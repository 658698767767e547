//! Requests of others handed on to a gateway as they are, and its answers back.
//!
//! Where it sits: for the node's own gateway routes, whose clients check what they are given as with any gateway. The
//! caller names the paths that may be asked for.

use bytes::Bytes;
use reqwest::Method;

use super::{Gateway, GatewayError, http::Failure};

/// A gateway's answer, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// HTTP status: a success or the gateway's refusal.
    pub status: u16,
    /// Its media type.
    pub kind: Option<String>,
    /// Its body.
    pub body: Bytes,
}

impl Gateway {
    /// Asks the gateways for `path` (from its slash on) in turn until one has an answer; a `body` is posted as JSON.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] when every gateway says so, [`GatewayError::Unavailable`] when none can be made to answer.
    pub async fn pass(&self, path: &str, body: Option<Bytes>) -> Result<Passed, GatewayError> {
        let method = if body.is_some() { Method::POST } else { Method::GET };
        self.any(path, |host| {
            let (method, body) = (method.clone(), body.clone().map(|body| ("application/json", body)));
            async move {
                let answer = self.ask(host, method, path, body).await?;
                let passed = |status: u16, kind, body| Passed { status, kind, body };
                let (status, kind) = (answer.status.as_u16(), answer.kind.clone());
                let body = answer.body.clone();
                match answer.success() {
                    // A refusal is an answer too: it says what is wrong with the request.
                    Ok(_) | Err(Failure::Refused(..)) => Ok(passed(status, kind, body)),
                    Err(failure) => Err(failure),
                }
            }
        })
        .await
    }
}
