//! The table of routes: labels for counters, the nearest ones for a mistyped path, the methods for a wrong one.
//!
//! Where it sits: beside the router in `http.rs`, which must carry exactly these (the tests ask every one of them).

use axum::{
    http::{Method, StatusCode, Uri},
    response::{IntoResponse as _, Response},
};

use super::{error::ApiError, hyperbeam};

/// A path template with the methods it answers (`HEAD` goes with `GET`, `OPTIONS` with all).
#[derive(Debug)]
pub(super) struct Route {
    /// Segments in braces stand for anything.
    pub template: &'static str,
    /// Method names.
    pub methods: &'static [&'static str],
    /// How requests are admitted and timed.
    pub class: Class,
}

/// How a route is admitted and timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Always let in: probes must answer when the node is full.
    Probe,
    /// Does its work and ends.
    Work,
    /// Waits for an evaluation; has a bound of its own so that waiting clients do not shut out working ones.
    Wait,
}

const fn route(template: &'static str, methods: &'static [&'static str], class: Class) -> Route {
    Route { template, methods, class }
}

/// Every route, literal ones before those with braces in the same place.
pub(super) const ROUTES: &[Route] = &[
    route("/", &["GET", "POST"], Class::Work),
    route("/livez", &["GET"], Class::Probe),
    route("/readyz", &["GET"], Class::Probe),
    route("/metrics", &["GET"], Class::Probe),
    route("/health", &["GET"], Class::Probe),
    route("/timestamp", &["GET"], Class::Work),
    route("/dry-run", &["POST"], Class::Wait),
    route("/graphql", &["POST"], Class::Work),
    route("/tx", &["POST"], Class::Work),
    route("/tx/arweave", &["POST"], Class::Work),
    route("/tx/{id}", &["GET"], Class::Work),
    route("/tx/{id}/{field}", &["GET"], Class::Work),
    route("/tx_anchor", &["GET"], Class::Work),
    route("/info", &["GET"], Class::Work),
    route("/block/current", &["GET"], Class::Work),
    route("/block/height/{height}", &["GET"], Class::Work),
    route("/block/hash/{hash}", &["GET"], Class::Work),
    route("/price/{bytes}", &["GET"], Class::Work),
    route("/price/{bytes}/{target}", &["GET"], Class::Work),
    route("/wallet/{address}/{what}", &["GET"], Class::Work),
    route("/chunk", &["POST"], Class::Work),
    route("/chunk/{offset}", &["GET"], Class::Work),
    route("/monitor/{pid}", &["POST", "DELETE"], Class::Work),
    route("/push/{id}/{number}", &["POST"], Class::Wait),
    route("/push-result/{id}/{number}", &["POST"], Class::Wait),
    route("/processes/{pid}", &["GET"], Class::Work),
    route("/result/{id}", &["GET", "POST"], Class::Wait),
    route("/results/{pid}", &["GET"], Class::Wait),
    route("/cron/{pid}", &["GET"], Class::Wait),
    route("/state/{pid}", &["GET"], Class::Wait),
    route("/raw/{id}", &["GET"], Class::Work),
    route("/v1/openapi.json", &["GET"], Class::Work),
    route("/v1/status", &["GET"], Class::Work),
    route("/v1/network", &["GET"], Class::Work),
    route("/v1/market", &["GET"], Class::Work),
    route("/v1/activity", &["GET"], Class::Work),
    route("/v1/items", &["POST"], Class::Work),
    route("/v1/processes", &["GET"], Class::Work),
    route("/v1/processes/{pid}", &["GET"], Class::Work),
    route("/v1/processes/{pid}/log", &["GET"], Class::Work),
    route("/v1/processes/{pid}/results", &["GET"], Class::Work),
    route("/v1/processes/{pid}/messages/{id}", &["GET"], Class::Work),
    route("/push", &["POST"], Class::Wait),
    route("/~meta@1.0/info", &["GET"], Class::Work),
    route("/~meta@1.0/info/{key}", &["GET"], Class::Work),
    route("/~meta@1.0/build", &["GET"], Class::Work),
    route("/~scheduler@1.0/schedule", &["GET", "POST"], Class::Work),
    route("/{pid}~process@1.0", &["GET"], Class::Work),
    route("/{pid}~process@1.0/push", &["POST"], Class::Wait),
    route("/{pid}~process@1.0/schedule", &["GET", "POST"], Class::Work),
    route("/{pid}~process@1.0/slot", &["GET", "POST"], Class::Work),
    route("/{pid}~process@1.0/slot/current", &["GET", "POST"], Class::Work),
    route("/{pid}~process@1.0/compute", &["GET", "POST"], Class::Wait),
    route("/{pid}~process@1.0/compute={slot}", &["GET", "POST"], Class::Wait),
    route("/{pid}~process@1.0/compute/results={slot}", &["GET", "POST"], Class::Wait),
    route("/{pid}~process@1.0/now", &["GET", "POST"], Class::Wait),
    route("/{pid}~process@1.0/as=execution/compute", &["GET", "POST"], Class::Wait),
    route("/{pid}/latest", &["GET"], Class::Work),
    route("/{id}", &["GET"], Class::Work),
];

/// The route that `path` belongs to; HyperBEAM-style paths are written in many ways, so what they ask for decides.
pub(super) fn classify(path: &str) -> Option<&'static Route> {
    let by_template = || ROUTES.iter().find(|route| matches(route.template, path));
    let by_call = || hyperbeam::template(path).and_then(|named| ROUTES.iter().find(|route| route.template == named));
    by_template().or_else(by_call)
}

fn matches(template: &str, path: &str) -> bool {
    let mut wanted = template.split('/');
    let mut given = path.split('/');
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(want), Some(have)) if fits(want, have) => {}
            _ => return false,
        }
    }
}

/// Is `have` the segment `want`, in which one part in braces stands for anything?
fn fits(want: &str, have: &str) -> bool {
    let Some((before, rest)) = want.split_once('{') else { return want == have };
    let after = rest.split_once('}').map_or("", |(_, after)| after);
    let inner = have.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    inner.is_some_and(|inner| !inner.is_empty())
}

/// Characters of a path that suggestions look at.
const LOOKED_AT: usize = 64;

/// The three routes whose templates are spelled most like `path`; those that begin with braces are like everything.
fn nearest(path: &str) -> Vec<&'static str> {
    let head: String = path.chars().take(LOOKED_AT).collect();
    let mut scored: Vec<(usize, &'static str)> = ROUTES
        .iter()
        .filter(|r| !r.template.starts_with("/{"))
        .map(|r| (spelling(&head, r.template), r.template))
        .collect();
    scored.sort_by_key(|(score, _)| *score);
    scored.into_iter().take(3).map(|(_, template)| template).collect()
}

/// How differently `path` and `template` are spelled, segment by segment; braces are spelled like anything.
fn spelling(path: &str, template: &str) -> usize {
    let mut given = path.split('/');
    let mut wanted = template.split('/');
    let mut sum = 0_usize;
    loop {
        let step = match (given.next(), wanted.next()) {
            (None, None) => return sum,
            (Some(have), Some(want)) if want.starts_with('{') => usize::from(have.is_empty()),
            (Some(have), Some(want)) => distance(have, want),
            (have, want) => have.or(want).map_or(0, |extra| extra.chars().count().saturating_add(1)),
        };
        sum = sum.saturating_add(step);
    }
}

/// Levenshtein distance in characters.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, from) in left.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        let mut last = line.saturating_add(1);
        next.push(last);
        for (to, pair) in right.iter().zip(row.windows(2)) {
            let (above_left, above) = (pair.first().copied().unwrap_or(0), pair.last().copied().unwrap_or(0));
            let swap = above_left.saturating_add(usize::from(from != *to));
            last = swap.min(above.saturating_add(1)).min(last.saturating_add(1));
            next.push(last);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// 404 for a path that is no route; names the nearest ones.
pub(super) fn unknown_path(path: &str) -> ApiError {
    let shown: String = path.chars().take(LOOKED_AT).collect();
    ApiError::new(
        StatusCode::NOT_FOUND,
        format!("no route {shown:?}; the nearest are {}; all are listed at /v1/openapi.json", nearest(path).join(", ")),
    )
}

/// aoconnect glues `graphql` to a gateway's address whose path does not end in a slash.
fn glued(path: &str) -> ApiError {
    let shown: String = path.chars().take(LOOKED_AT).collect();
    ApiError::new(
        StatusCode::NOT_FOUND,
        format!(
            "no route {shown:?}; GraphQL is at /graphql: give GATEWAY_URL without a path, or GRAPHQL_URL as a whole"
        ),
    )
}

/// The answer to a method that a route does not have.
pub(super) async fn wrong_method(method: Method, uri: Uri) -> Response {
    if method == Method::POST && uri.path().ends_with("graphql") {
        return glued(uri.path()).into_response();
    }
    let allowed = classify(uri.path()).map_or("GET".to_owned(), |route| route.methods.join(", "));
    let method: String = method.as_str().chars().take(32).collect();
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("method {method} is not answered on {}; use {allowed}", uri.path()),
    )
    .allow(allowed)
    .into_response()
}

#[cfg(test)]
mod tests;
