//! Plain blocking HTTP for tests that drive a testnet from one thread.
//!
//! Use from a test file: `#[path = "support/http.rs"] mod http;`.

#![allow(dead_code, reason = "each test file uses a part of this")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use serde_json::Value;

/// A request that takes longer has failed: above what the doors allow any request (a minute's wait and a little).
const LONGEST: Duration = Duration::from_secs(90);

/// A client.
pub struct Http {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    pub content_type: String,
    pub headers: std::collections::BTreeMap<String, String>,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|fault| panic!("{fault}: {} {}", self.status, self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The reason in an error's document.
    pub fn reason(&self) -> String {
        assert_eq!(self.content_type, "application/json", "{self:?}");
        self.json()["error"].as_str().unwrap_or_else(|| panic!("no reason: {}", self.text())).to_owned()
    }

    /// The body of a success.
    pub fn ok(self) -> Self {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.text());
        self
    }
}

impl Http {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // Between two calls nothing runs here that would notice a connection's end, when a test kills its node.
        let client = reqwest::Client::builder().timeout(LONGEST).pool_max_idle_per_host(0).build().unwrap();
        Self { runtime, client }
    }

    fn answer(&self, request: reqwest::RequestBuilder) -> Answer {
        self.runtime.block_on(async {
            let response = request.send().await.unwrap();
            let content_type = response.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
            let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
            Answer {
                status: response.status().as_u16(),
                content_type: content_type.unwrap_or_default(),
                headers,
                body: response.bytes().await.unwrap().into(),
            }
        })
    }

    /// Waits until the nodes behind these doors are all connected to each other: a node is ready with its first peer.
    ///
    /// # Panics
    /// If they are not within [`LONGEST`].
    pub fn meshed(&self, doors: &[String]) {
        let until = std::time::Instant::now() + LONGEST;
        for door in doors {
            loop {
                let status = self.get(&format!("{door}/v1/status")).ok().json();
                if status["mesh"]["peers"].as_array().is_some_and(|peers| peers.len() + 1 >= doors.len()) {
                    break;
                }
                assert!(std::time::Instant::now() < until, "{door} lacks peers: {status}");
                // Nodes send their clients no events; the deadline is above.
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    pub fn get(&self, url: &str) -> Answer {
        self.answer(self.client.get(url))
    }

    /// Posts bytes as an octet stream, as AO's clients post items.
    pub fn post(&self, url: &str, body: impl Into<Vec<u8>>) -> Answer {
        let request = self.client.post(url).header("content-type", "application/octet-stream").body(body.into());
        self.answer(request)
    }

    pub fn post_json(&self, url: &str, body: &Value) -> Answer {
        self.answer(self.client.post(url).json(body))
    }
}
