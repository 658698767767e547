//! Progress on stderr for whatever takes longer than a second.
//!
//! Where it sits: commands wrap their slow awaits in [`during`]. On a terminal one line is redrawn; elsewhere (CI, a
//! pipe) a plain line is printed after one second and then every ten.

use std::{
    future::Future,
    io::{IsTerminal, Write},
    pin::pin,
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

/// Progress that cannot be written is no reason to fail.
fn write_stderr(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes());
    let _ = stderr.flush();
}
