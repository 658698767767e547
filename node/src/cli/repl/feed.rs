//! The live feed: what a process prints when messages of others come, shown above the prompt.
//!
//! Where it sits: a task beside the console's loop; ends with the console.
//!
//! The line editor has a printer for such lines, with which it leaves typed characters lying until the next key
//! (rustyline 18). So the text is written here, and the editor is told that the window's size changed, which makes it draw
//! its line again.

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustix::process::{Signal, getpid, kill_process};
use serde_json::Value;
use tokio::task::JoinHandle;
use weft_protocol::Id;

use crate::cli::{client::Client, exit::CliResult, process, resolve::field, table};

/// How often new results are asked for.
const EVERY: Duration = Duration::from_secs(1);
/// Most results of one question; more come with the next.
const PAGE: usize = 50;

/// How many lines the text that is being edited takes besides its first; the line editor keeps it.
pub(super) type Rows = Arc<AtomicUsize>;

/// A running feed.
pub(super) struct Live {
    task: JoinHandle<()>,
    shown: Arc<AtomicBool>,
}

impl Live {
    /// Shows what is printed, or not (until it is shown again; what was missed stays missed).
    pub(super) fn show(&self, shown: bool) {
        self.shown.store(shown, Ordering::Relaxed);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Follows the results of `process` from the newest on.
pub(super) async fn start(client: Client, process: Id, rows: Rows) -> CliResult<Live> {
    let newest = page(&client, process, &[("limit", "1".to_owned()), ("sort", "DESC".to_owned())]).await?;
    let mut cursor = newest.last().and_then(|edge| field(edge, "cursor")).map(str::to_owned);
    let shown = Arc::new(AtomicBool::new(true));
    let wanted = Arc::clone(&shown);
    let task = tokio::spawn(async move {
        loop {
            tokio::time::sleep(EVERY).await;
            let mut query = vec![("limit", PAGE.to_string()), ("sort", "ASC".to_owned())];
            query.extend(cursor.iter().map(|cursor| ("from", cursor.clone())));
            // A node that does not answer now may answer the next time; the console's own messages say what is wrong.
            let Ok(edges) = page(&client, process, &query).await else { continue };
            for edge in edges {
                if let Some(text) = printed(&edge).filter(|_| wanted.load(Ordering::Relaxed)) {
                    above(&text, rows.load(Ordering::Relaxed));
                }
                cursor = field(&edge, "cursor").map(str::to_owned).or(cursor);
            }
        }
    });
    Ok(Live { task, shown })
}

/// Writes `text` above the line that is being edited. The editor clears as many rows as its text had before it draws it
/// again: those have to be empty ones. Without an editor at work the signal does nothing.
fn above(text: &str, rows: usize) {
    let text = text.replace('\n', "\r\n");
    let mut out = std::io::stdout().lock();
    let _ = write!(out, "\r\u{1b}[K{text}\r\n{}", "\r\n".repeat(rows));
    let _ = out.flush();
    let _ = kill_process(getpid(), Signal::WINCH);
}

async fn page(client: &Client, process: Id, query: &[(&str, String)]) -> CliResult<Vec<Value>> {
    let answer = client.get(&format!("/results/{process}"), query).await?;
    Ok(answer.get("edges").and_then(Value::as_array).cloned().unwrap_or_default())
}

/// The text of a result that is meant for the console: `Output.print` is true.
fn printed(edge: &Value) -> Option<String> {
    let result = edge.get("node")?;
    let wanted = result.pointer("/Output/print").is_some_and(|print| *print == Value::Bool(true));
    wanted.then(|| process::output_of(result)).flatten().map(|text| table::printable(&text))
}
