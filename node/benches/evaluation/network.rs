//! End to end: `weft bench` on a network of 5 nodes.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::table::Table;

/// Runs the program that was built beside this benchmark.
pub fn run(aos: &[u8], time: &str, markdown: bool) {
    let module = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-aos.wasm");
    fs::write(&module, aos).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_weft"))
        .args(["--json", "bench", "--clients", "32", "--time", time, "--aos"])
        .arg(&module)
        .output()
        .unwrap();
    let Ok(report) = serde_json::from_slice::<Value>(&output.stdout) else {
        println!("\nThe network was not measured: {}", String::from_utf8_lossy(&output.stderr).trim());
        return;
    };
    let mut table = Table::new(&[
        "5 nodes and the clients on one machine",
        "sealed/s",
        "evaluated/s",
        "to sealed p50 / p99",
        "to result p50 / p99",
        "CPU a message, all nodes",
    ]);
    for workload in report["workloads"].as_array().into_iter().flatten() {
        for (part, said) in [
            ("one_by_one", "1 client, one by one"),
            ("wait_for_results", "32 clients wait for results"),
            ("wait_for_seals", "32 clients wait for seals"),
        ] {
            let phase = &workload[part];
            let whole = |name: &str| phase[name].as_f64().map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}"));
            let both = |name: &str| {
                let point = |p: &str| phase[name][p].as_f64();
                match (point("p50_ms"), point("p99_ms")) {
                    (Some(half), Some(most)) => format!("{half:.1} / {most:.1} ms"),
                    _ => "-".to_owned(),
                }
            };
            let name = workload["name"].as_str().unwrap_or("?");
            let each = phase["nodes_processor_ms_per_message"].as_f64();
            table.row([
                format!("{name}: {said}"),
                whole("sealed_per_second"),
                whole("evaluated_per_second"),
                both("post_to_sealed"),
                both("post_to_result"),
                each.map_or_else(|| "-".to_owned(), |each| format!("{each:.1} ms")),
            ]);
        }
    }
    table.print("End to end (`weft bench`)", markdown);
}
