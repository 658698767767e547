//! Requests to one of several hosts: health, back-off, bounded bodies, fall-over.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use reqwest::{Method, StatusCode, Url};

use super::{Gateway, GatewayError};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How much of an error's text is kept.
const REASON_LEN: usize = 200;

/// One host and how it has behaved.
#[derive(Debug)]
pub(super) struct Host {
    base: String,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    failures: u32,
    until: Option<Instant>,
}

/// A whole answer, bounded.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub kind: Option<String>,
    pub body: Bytes,
}

/// Why one host did not do.
#[derive(Debug)]
pub(super) enum Failure {
    /// It says it has no such thing.
    Absent,
    /// It understood and turned the request down.
    Refused(u16, String),
    /// Down, slow, busy, too long, nonsense or lying.
    Broken(String),
}

impl Host {
    pub fn new(url: &str) -> Result<Self, GatewayError> {
        let bad = || GatewayError::Url(url.chars().take(REASON_LEN).collect());
        let parsed = Url::parse(url).map_err(|_| bad())?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
            return Err(bad());
        }
        Ok(Self { base: url.trim_end_matches('/').to_owned(), health: Mutex::default() })
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// Until when the host is left alone.
    fn rests_until(&self) -> Option<Instant> {
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.until.filter(|until| *until > Instant::now())
    }

    fn note(&self, good: bool) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if good {
            *health = Health::default();
            return;
        }
        health.failures = health.failures.saturating_add(1);
        let factor = 2_u32.saturating_pow(health.failures.saturating_sub(1).min(16));
        health.until = Some(Instant::now() + FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE));
    }
}

impl Answer {
    /// The body as text, shortened for people.
    pub fn reason(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        text.trim().chars().take(REASON_LEN).collect()
    }

    /// The answer if it is a success, else why not.
    pub fn success(self) -> Result<Self, Failure> {
        match self.status {
            status if status.is_success() => Ok(self),
            StatusCode::NOT_FOUND | StatusCode::GONE => Err(Failure::Absent),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Err(Failure::Broken(format!("{} {}", self.status, self.reason())))
            }
            status if status.is_client_error() => Err(Failure::Refused(status.as_u16(), self.reason())),
            status => Err(Failure::Broken(format!("{status} {}", self.reason()))),
        }
    }

    pub fn text(&self) -> Result<&str, Failure> {
        std::str::from_utf8(&self.body).map(str::trim).map_err(|_| Failure::Broken("its answer is not text".to_owned()))
    }

    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Failure::Broken(format!("its answer is not understood: {error}")))
    }
}

impl Gateway {
    /// Sends one request to one host and reads the whole answer, within the limits.
    pub(super) async fn ask(
        &self,
        host: &Host,
        method: Method,
        path: &str,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<Answer, Failure> {
        self.ask_within(host, method, path, body, usize::MAX).await
    }

    /// The same, with an answer of at most `most` bytes; one that only this bound forbids is refused (413), not broken.
    async fn ask_within(
        &self,
        host: &Host,
        method: Method,
        path: &str,
        body: Option<(&'static str, Bytes)>,
        most: usize,
    ) -> Result<Answer, Failure> {
        let mut request = self.inner.client.request(method, format!("{}{path}", host.base));
        if let Some((content_type, bytes)) = body {
            request = request.header(reqwest::header::CONTENT_TYPE, content_type).body(bytes);
        }
        let mut response = request.send().await.map_err(|error| broken(&error))?;
        let status = response.status();
        let kind = response.headers().get(reqwest::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.map(str::to_owned);
        // What is no success is short; its reason must not hide behind a small bound.
        let most = if status.is_success() { most } else { usize::MAX };
        let limit = self.inner.max_body.min(most);
        let too_long = || match limit == most {
            true => Failure::Refused(413, format!("it has more than {limit} bytes")),
            false => Failure::Broken(format!("its answer is longer than {limit} bytes")),
        };
        if response.content_length().is_some_and(|length| length > limit as u64) {
            return Err(too_long());
        }
        let mut buffer = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(|error| broken(&error))? {
            if buffer.len().saturating_add(piece.len()) > limit {
                return Err(too_long());
            }
            buffer.extend_from_slice(&piece);
        }
        Ok(Answer { status, kind, body: buffer.freeze() })
    }

    pub(super) async fn get(&self, host: &Host, path: &str) -> Result<Answer, Failure> {
        self.ask(host, Method::GET, path, None).await?.success()
    }

    /// The same, at most `most` bytes, else refused (413).
    pub(super) async fn get_within(&self, host: &Host, path: &str, most: usize) -> Result<Answer, Failure> {
        self.ask_within(host, Method::GET, path, None, most).await?.success()
    }

    /// Does `job` at one host after the other until one succeeds.
    ///
    /// Hosts that failed lately come last. Absent everywhere is [`GatewayError::NotFound`]; a refusal everywhere else is
    /// [`GatewayError::Refused`]; anything broken on the way makes it [`GatewayError::Unavailable`].
    pub(super) async fn each<'a, T, F, Fut>(&self, what: &str, hosts: &'a [Host], job: F) -> Result<T, GatewayError>
    where
        F: Fn(&'a Host) -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        let mut order = hosts.iter().map(|host| (host.rests_until(), host)).collect::<Vec<_>>();
        order.sort_by_key(|(until, _)| *until);
        let (mut tried, mut refused) = (Vec::new(), None);
        for (_, host) in order {
            match job(host).await {
                Ok(value) => {
                    host.note(true);
                    return Ok(value);
                }
                Err(Failure::Absent) => host.note(true),
                Err(Failure::Refused(status, reason)) => {
                    host.note(true);
                    refused = Some((host.base.clone(), status, reason));
                }
                Err(Failure::Broken(why)) => {
                    host.note(false);
                    tracing::debug!(url = host.base, what, why, "gateway failed");
                    tried.push(format!("{}: {why}", host.base));
                }
            }
        }
        Err(match (tried.is_empty(), refused) {
            (false, _) => GatewayError::Unavailable { what: what.to_owned(), tried },
            (true, Some((url, status, reason))) => GatewayError::Refused { what: what.to_owned(), url, status, reason },
            (true, None) => GatewayError::NotFound(what.to_owned()),
        })
    }

    /// [`Self::each`] over the gateways.
    pub(super) async fn any<'a, T, F, Fut>(&'a self, what: &str, job: F) -> Result<T, GatewayError>
    where
        F: Fn(&'a Host) -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        self.each(what, &self.inner.hosts, job).await
    }
}

fn broken(error: &reqwest::Error) -> Failure {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    Failure::Broken(text)
}
