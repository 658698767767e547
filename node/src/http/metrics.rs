//! Counters of the HTTP doors, in the text form that `/metrics` serves after the node's own.
//!
//! Where it sits: written by `gate` for every request; read by `weft::metrics`.

use std::time::Duration;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// What a request is counted under: few values each, so that hostile paths cannot grow the set.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    /// Path template or `other`.
    route: &'static str,
    /// Status code.
    status: u16,
}

/// What a duration is counted under.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    /// Path template or `other`.
    route: &'static str,
}

/// The doors' counters.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    seconds: Family<RouteLabel, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
}

/// 1 ms to 65 s in steps of four.
fn histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 4.0, 9))
}

impl Metrics {
    /// Counters at zero.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let requests = Family::default();
        let seconds = Family::new_with_constructor(histogram as fn() -> Histogram);
        let in_flight = Gauge::default();
        registry.register("weft_http_requests", "HTTP requests answered, by route and status", requests.clone());
        registry.register(
            "weft_http_request_seconds",
            "Time from request head to response head, by route",
            seconds.clone(),
        );
        registry.register("weft_http_in_flight", "HTTP requests being worked on", in_flight.clone());
        Self { registry, requests, seconds, in_flight }
    }

    /// Counts one request from now until the guard is dropped, whether it was answered or its client went away.
    pub fn start(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// Counts one answer.
    pub fn answered(&self, route: &'static str, status: u16, took: Duration) {
        self.requests.get_or_create(&Labels { route, status }).inc();
        self.seconds.get_or_create(&RouteLabel { route }).observe(took.as_secs_f64());
    }

    /// `node` (the node's metrics) with these after it: one document with one end mark.
    pub fn append_to(&self, mut node: String) -> String {
        node.truncate(node.trim_end().trim_end_matches("# EOF").len());
        if !node.is_empty() && !node.ends_with('\n') {
            node.push('\n');
        }
        // Writing to a string cannot fail; were it to, the node's part is still worth serving.
        let mut own = String::new();
        if encode(&mut own, &self.registry).is_ok() {
            node.push_str(&own);
        }
        node
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
