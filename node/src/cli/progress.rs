//! Progress on stderr for whatever takes longer than a second.
//!
//! Where it sits: commands wrap their slow awaits in [`during`]. On a terminal one line is redrawn; elsewhere (CI, a
//! pipe) a plain line is printed after one second and then every ten.

use std::{
    future::Future,
    io::{IsTerminal, Write},
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

const TICK: Duration = Duration::from_millis(250);
const QUIET: Duration = Duration::from_secs(1);
const PLAIN_EVERY: u64 = 10;

/// Awaits `work` and says `label` and the seconds passed while it lasts longer than a second.
pub async fn during<T>(label: &str, work: impl Future<Output = T>) -> T {
    let terminal = std::io::stderr().is_terminal();
    let start = Instant::now();
    let mut work = pin!(work);
    let mut ticks = tokio::time::interval(TICK);
    let mut said = 0_u64;
    let mut drawn = false;
    loop {
        tokio::select! {
            out = &mut work => {
                if drawn {
                    write_stderr("\r\u{1b}[2K");
                }
                return out;
            }
            _ = ticks.tick() => {
                let passed = start.elapsed();
                if passed < QUIET {
                    continue;
                }
                if terminal {
                    drawn = true;
                    write_stderr(&format!("\r\u{1b}[2K{label} … {} s", passed.as_secs()));
                } else if passed.as_secs() >= said {
                    said = passed.as_secs() + PLAIN_EVERY;
                    write_stderr(&format!("{label} … {} s\n", passed.as_secs()));
                }
            }
        }
    }
}

/// As [`during`], for work that counts how much of `total` is done: says that, and how long the rest will take.
pub async fn counted<T>(label: &str, total: usize, done: &AtomicUsize, work: impl Future<Output = T>) -> T {
    let terminal = std::io::stderr().is_terminal();
    let start = Instant::now();
    let mut work = pin!(work);
    let mut ticks = tokio::time::interval(if terminal { TICK } else { Duration::from_secs(PLAIN_EVERY) });
    let mut drawn = false;
    loop {
        tokio::select! {
            out = &mut work => {
                if drawn && terminal {
                    write_stderr("\r\u{1b}[2K");
                }
                return out;
            }
            _ = ticks.tick() => {
                let passed = start.elapsed();
                if passed < QUIET {
                    continue;
                }
                drawn = true;
                let line = counting(label, total, done.load(Ordering::Relaxed), passed);
                write_stderr(&if terminal { format!("\r\u{1b}[2K{line}") } else { format!("{line}\n") });
            }
        }
    }
}

fn counting(label: &str, total: usize, done: usize, passed: Duration) -> String {
    let share = done.min(total).saturating_mul(20).checked_div(total).unwrap_or(0);
    let bar: String = (0..20).map(|at| if at < share { '#' } else { '.' }).collect();
    let left = passed.as_millis().saturating_mul(total.saturating_sub(done) as u128).checked_div(done as u128);
    let left = left.map_or_else(String::new, |ms| format!(", {} s left", ms / 1000));
    format!("{label} [{bar}] {done} of {total}{left}")
}

/// Progress that cannot be written is no reason to fail.
fn write_stderr(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes());
    let _ = stderr.flush();
}

/// Says how far a long command is that counts slots and fuel: redrawn on a terminal, elsewhere a line every ten seconds.
pub struct Meter {
    label: &'static str,
    started: Instant,
    said: Option<Instant>,
    terminal: bool,
}

/// Characters of the bar.
const BAR: u64 = 24;

impl Meter {
    /// Begins to count.
    pub fn new(label: &'static str) -> Self {
        Self { label, started: Instant::now(), said: None, terminal: std::io::stderr().is_terminal() }
    }

    /// So much of it is done; said if it is time again.
    pub fn say(&mut self, done: u64, all: u64, fuel: u64) {
        let every = if self.terminal { TICK } else { Duration::from_secs(PLAIN_EVERY) };
        let wait =
            self.said.map_or(QUIET.saturating_sub(self.started.elapsed()), |at| every.saturating_sub(at.elapsed()));
        if !wait.is_zero() {
            return;
        }
        self.said = Some(Instant::now());
        let text = self.text(done, all, fuel, self.started.elapsed());
        write_stderr(&if self.terminal { format!("\r\u{1b}[2K{text}") } else { format!("{text}\n") });
    }

    /// Takes the line away.
    pub fn end(&self) {
        if self.terminal && self.said.is_some() {
            write_stderr("\r\u{1b}[2K");
        }
    }

    fn text(&self, done: u64, all: u64, fuel: u64, passed: Duration) -> String {
        let full = BAR.saturating_mul(done.min(all)) / all.max(1);
        let bar: String = (0..BAR).map(|at| if at < full { '#' } else { '-' }).collect();
        let micros = passed.as_micros().max(1);
        let rate = |count: u64| u128::from(count).saturating_mul(1_000_000) / micros;
        let left = u128::from(all.saturating_sub(done)).saturating_mul(micros) / u128::from(done.max(1));
        format!(
            "{} [{bar}] {done} of {all} slots, {} slots/s, {} Mfuel/s, about {} s left",
            self.label,
            rate(done),
            rate(fuel) / 1_000_000,
            left.div_ceil(1_000_000)
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn a_meter_says_how_far_and_how_long() {
        let meter = Meter::new("replaying");
        let text = meter.text(250, 1_000, 5_000_000_000, Duration::from_secs(10));
        assert_eq!(
            text,
            "replaying [######------------------] 250 of 1000 slots, 25 slots/s, 500 Mfuel/s, about 30 s left"
        );
    }

    #[test]
    fn a_count_says_what_is_left() {
        let line = counting("spawning", 200, 50, Duration::from_secs(10));
        assert_eq!(line, "spawning [#####...............] 50 of 200, 30 s left");
        assert_eq!(counting("spawning", 200, 0, Duration::from_secs(1)), "spawning [....................] 0 of 200");
        assert_eq!(counting("x", 0, 0, Duration::ZERO), "x [....................] 0 of 0");
    }
}
