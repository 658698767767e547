//! Numbers of the machine and of running processes, as Linux gives them; nothing where it does not.

use std::{fs, time::Duration};

use serde_json::{Value, json};

/// What was measured on.
#[derive(Debug)]
pub(super) struct Machine {
    pub processors: usize,
    pub model: String,
    pub load: String,
    pub optimised: bool,
}

impl Machine {
    /// Looks at this machine now.
    pub fn look() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model =
            info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, m)| m.to_owned()));
        Self {
            processors: std::thread::available_parallelism().map_or(1, Into::into),
            model: model.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            load: load_average(),
            optimised: !cfg!(debug_assertions),
        }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({ "processors": self.processors, "model": self.model, "load_before": self.load, "optimised": self.optimised })
    }
}

/// Load averages of 1, 5 and 15 minutes.
pub(super) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// Resident memory of each process, in bytes.
pub(super) fn resident(pids: &[u32]) -> Vec<u64> {
    let of = |pid: &u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let kib: u64 =
            text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().trim_end_matches(" kB").parse().ok()?;
        Some(kib.saturating_mul(1024))
    };
    pids.iter().filter_map(of).collect()
}

/// Processor time that the processes have used together; nothing if there are none.
pub(super) fn processor(pids: &[u32]) -> Option<Duration> {
    let ticks = pids.iter().filter_map(|pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold anything; user and system time are the 12th and 13th field after it.
        let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
        let time = |field: Option<&str>| field.and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
        Some(time(fields.next()).saturating_add(time(fields.next())))
    });
    let ticks: u64 = ticks.reduce(u64::saturating_add)?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Some(Duration::from_millis(ticks.saturating_mul(1000) / per_second))
}

/// The value that `percent` of the sorted values do not exceed.
pub(super) fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = sorted.len().saturating_mul(percent).div_ceil(100).max(1);
    sorted.get(rank.saturating_sub(1)).copied()
}

/// How many a second.
pub(super) fn rate(count: usize, time: Duration) -> f64 {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    f64::from(count) / time.as_secs_f64().max(1e-9)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&values, 50), Some(Duration::from_millis(100)));
        assert_eq!(percentile(&values, 99), Some(Duration::from_millis(198)));
        assert_eq!(percentile(&[Duration::from_secs(3)], 50), Some(Duration::from_secs(3)));
        assert_eq!(percentile(&[], 50), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_and_took_time() {
        let me = [std::process::id()];
        assert!(resident(&me)[0] > 1 << 20);
        assert!(processor(&me).is_some());
        assert!(processor(&[]).is_none());
    }
}
