//! One process of the network: start it, see whether it lives and is ready, end it.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{TestnetError, files, http, state::ProcessState};

/// A log longer than this is moved to `log.1`, in bytes.
const LOG_LIMIT: u64 = 64 << 20;
/// How long a readiness answer may take.
const PROBE: Duration = Duration::from_secs(2);
/// Lines of a log shown with an error.
pub(crate) const SHOWN_LINES: usize = 15;

/// A process that can be started, and is or is not running.
pub(crate) struct Process {
    /// `arweave`, `node-1`, …
    pub name: String,
    binary: PathBuf,
    arguments: Vec<String>,
    /// Standard output and error.
    pub log: PathBuf,
    port: u16,
    ready_path: &'static str,
    child: Option<Child>,
}

/// What to run as a process.
pub(crate) struct Launch {
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The port that answers whether it is ready.
    pub port: u16,
    /// The path on that port.
    pub ready_path: &'static str,
}

impl Process {
    /// A process that is not running yet.
    pub fn new(name: String, binary: PathBuf, log: PathBuf, launch: Launch) -> Self {
        let Launch { arguments, port, ready_path } = launch;
        Self { name, binary, arguments, log, port, ready_path, child: None }
    }

    /// Starts it unless it runs. It is killed when the calling *thread* ends: call from the supervisor's own.
    pub fn start(&mut self) -> Result<u32, TestnetError> {
        if let Some(child) = &self.child {
            return Ok(child.id());
        }
        let log = self.open_log().map_err(TestnetError::io("open", &self.log))?;
        let errors = log.try_clone().map_err(TestnetError::io("open", &self.log))?;
        let mut command = Command::new(&self.binary);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(log).stderr(errors);
        // A group of its own: Ctrl-C in the terminal reaches the supervisor alone, which ends the others in order.
        command.process_group(0);
        end_with_parent(&mut command);
        let child = command.spawn().map_err(TestnetError::io("start", &self.binary))?;
        let pid = child.id();
        self.child = Some(child);
        Ok(pid)
    }

    fn open_log(&self) -> io::Result<File> {
        self.bound_log()?;
        OpenOptions::new().create(true).append(true).open(&self.log)
    }

    /// Moves a log that has grown too long aside (copies and empties it: the process goes on writing to the same file).
    pub fn bound_log(&self) -> io::Result<()> {
        if fs::metadata(&self.log).is_ok_and(|log| log.len() > LOG_LIMIT) {
            fs::copy(&self.log, self.log.with_extension("1"))?;
            OpenOptions::new().write(true).open(&self.log)?.set_len(0)?;
        }
        Ok(())
    }

    /// Whether it runs, as far as the last [`Self::ended`] saw.
    pub fn running(&self) -> bool {
        self.child.is_some()
    }

    /// How it ended, once, if it has since the last look.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok().flatten()?;
        self.child = None;
        Some(status)
    }

    /// Whether it answers that it is ready.
    pub fn ready(&self) -> bool {
        is_ready(self.port, self.ready_path)
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        if let Some(mut child) = self.child.take() {
            // After SIGKILL this cannot fail in a way that could be mended here.
            let _ = child.wait();
        }
    }

    fn signal(&self, signal: Signal) {
        // The child has not been waited for, so its process id cannot belong to anybody else.
        let pid = self.child.as_ref().and_then(|child| Pid::from_raw(i32::try_from(child.id()).unwrap_or(0)));
        if let Some(pid) = pid {
            // It may have ended in this moment.
            let _ = kill_process(pid, signal);
        }
    }

    /// The end of its log.
    pub fn last_lines(&self) -> Vec<String> {
        files::last_lines(&self.log, SHOWN_LINES).0
    }

    /// Its entry in `testnet.json`.
    pub fn state(&self) -> ProcessState {
        ProcessState { name: self.name.clone(), pid: self.child.as_ref().map(Child::id), port: self.port }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The path that answers whether process `name` is ready.
pub(crate) fn ready_path(name: &str) -> &'static str {
    if name == crate::state::ARWEAVE { "/info" } else { "/readyz" }
}

/// Whether `path` on a local port answers 200 within two seconds.
pub(crate) fn is_ready(port: u16, path: &str) -> bool {
    http::get_status(port, path, PROBE).is_ok_and(|code| code == 200)
}

/// How a process ended, for people.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it exited with code {code}"),
        (None, Some(signal)) => format!("it was killed by signal {signal}"),
        (None, None) => "it ended".to_owned(),
    }
}

/// Has the kernel kill the process when the supervisor dies, however it dies. Elsewhere than on Linux a killed supervisor
/// (not one that is stopped) leaves its nodes running.
fn end_with_parent(command: &mut Command) {
    #[cfg(target_os = "linux")]
    {
        let supervisor = Pid::from_raw(i32::try_from(std::process::id()).unwrap_or(0));
        let prepare = move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            if rustix::process::getppid() == supervisor {
                Ok(())
            } else {
                // The supervisor died before the line above took effect.
                Err(io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error()))
            }
        };
        // SAFETY: between fork and exec only system calls are made (prctl, getppid): no allocation, no lock, no shared state.
        unsafe { command.pre_exec(prepare) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}
