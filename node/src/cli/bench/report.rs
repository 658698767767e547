//! What `weft bench` prints: one screen for people, one document for programs.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Phase,
    figures::{Machine, percentile, rate},
};
use crate::cli::table::{self, Table};

/// Everything that was measured.
#[derive(Debug)]
pub(super) struct Report {
    pub machine: Machine,
    pub nodes: usize,
    pub clients: usize,
    /// From the command to the ready screen, of a network started here.
    pub start_up: Option<Duration>,
    /// Resident bytes of each node before and after the load.
    pub idle: Vec<u64>,
    pub busy: Vec<u64>,
    pub workloads: Vec<Workload>,
    pub end_load: String,
}

/// One kind of process under the three loads.
#[derive(Debug)]
pub(super) struct Workload {
    pub name: &'static str,
    pub processes: usize,
    pub low: Phase,
    pub high: Phase,
    pub flood: Phase,
}

impl Report {
    /// The screen.
    pub fn text(&self) -> String {
        let machine = &self.machine;
        let build = if machine.optimised { "release build" } else { "development build" };
        let mut text = format!(
            "weft {} ({build}), {} nodes and the clients on {} processors ({}); load average {} before, {} after\n",
            env!("CARGO_PKG_VERSION"),
            self.nodes,
            machine.processors,
            machine.model,
            machine.load,
            self.end_load
        );
        let mut facts = Table::pairs();
        if let Some(time) = self.start_up {
            facts.row(["start-up: command to ready screen".to_owned(), format!("{:.1} s", time.as_secs_f64())]);
        }
        if let Some(range) = range(&self.idle) {
            facts.row(["memory of an idle node".to_owned(), range]);
        }
        if let Some(range) = range(&self.busy) {
            facts.row(["memory of a node after the load".to_owned(), range]);
        }
        if !facts.is_empty() {
            text.push_str(&format!("\n{}\n", facts.text()));
        }
        for workload in &self.workloads {
            text.push_str(&workload.text());
        }
        text.trim_end().to_owned()
    }

    /// The document.
    pub fn json(&self) -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "machine": self.machine.json(),
            "load_after": self.end_load,
            "nodes": self.nodes,
            "clients": self.clients,
            "start_up_ms": self.start_up.map(milliseconds),
            "idle_bytes": self.idle,
            "busy_bytes": self.busy,
            "workloads": self.workloads.iter().map(Workload::json).collect::<Vec<_>>(),
        })
    }
}

impl Workload {
    fn text(&self) -> String {
        let mut table = Table::new(&[
            "",
            "messages",
            "sealed/s",
            "evaluated/s",
            "to sealed p50 / p99",
            "to result p50 / p99",
            "CPU a message",
        ]);
        let parts = [("one by one", &self.low), ("wait for results", &self.high), ("wait for seals", &self.flood)];
        let mut failures = String::new();
        for (name, phase) in parts {
            let clients = if phase.clients == 1 { "1 client".to_owned() } else { format!("{} clients", phase.clients) };
            table.row([
                format!("{clients}, {name}"),
                phase.messages.to_string(),
                format!("{:.0}", rate(phase.messages, phase.sealing)),
                format!("{:.0}", rate(phase.messages, phase.evaluating)),
                both(&phase.sealed),
                both(&phase.results),
                phase.processor_each().map_or_else(|| "-".to_owned(), |t| format!("{:.1} ms", t.as_secs_f64() * 1e3)),
            ]);
            if let (count @ 1.., reason) = &phase.failed {
                failures.push_str(&format!(
                    "  {count} requests failed, the first: {}\n",
                    reason.as_deref().unwrap_or_default()
                ));
            }
        }
        format!("\n{} process(es) of {}\n\n{}\n{failures}", self.processes, self.name, table.text())
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "processes": self.processes,
            "one_by_one": self.low.json(),
            "wait_for_results": self.high.json(),
            "wait_for_seals": self.flood.json(),
        })
    }
}

impl Phase {
    fn processor_each(&self) -> Option<Duration> {
        self.processor?.checked_div(u32::try_from(self.messages).ok()?)
    }

    fn json(&self) -> Value {
        let points = |values: &[Duration]| json!({ "p50_ms": percentile(values, 50).map(milliseconds), "p99_ms": percentile(values, 99).map(milliseconds) });
        json!({
            "clients": self.clients,
            "messages": self.messages,
            "failed": self.failed.0,
            "first_failure": self.failed.1,
            "sealed_per_second": rate(self.messages, self.sealing),
            "evaluated_per_second": rate(self.messages, self.evaluating),
            "post_to_sealed": points(&self.sealed),
            "post_to_result": points(&self.results),
            "nodes_processor_ms_per_message": self.processor_each().map(milliseconds),
        })
    }
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 100.0
}

/// `p50 / p99`, or a dash.
fn both(values: &[Duration]) -> String {
    match (percentile(values, 50), percentile(values, 99)) {
        (Some(middle), Some(high)) => format!("{:.1} / {:.1} ms", middle.as_secs_f64() * 1e3, high.as_secs_f64() * 1e3),
        _ => "-".to_owned(),
    }
}

/// `smallest to largest`.
fn range(bytes: &[u64]) -> Option<String> {
    let (least, most) = (bytes.iter().min()?, bytes.iter().max()?);
    Some(format!("{} to {}", table::bytes(*least), table::bytes(*most)))
}
