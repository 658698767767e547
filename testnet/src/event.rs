//! What happens to a local network while it runs, for whoever prints it.

use std::{path::PathBuf, time::Duration};

use crate::{Plan, PortMoved};

/// Something the person who started the network wants to know. Names are `arweave` and `node-1`, `node-2`, ….
#[derive(Debug)]
pub enum Event {
    /// What will run is decided and written to the folder.
    Planned {
        /// An earlier run's network goes on (same keys and data).
        resumed: bool,
    },
    /// A port is not the usual one.
    PortMoved(PortMoved),
    /// A process was started.
    Started {
        /// Its name.
        name: String,
        /// Its process id.
        pid: u32,
    },
    /// A process answers that it is ready.
    Ready {
        /// Its name.
        name: String,
        /// How long that took.
        after: Duration,
    },
    /// Everything is ready: time to show the screen.
    Up(Box<Plan>),
    /// A process ended by itself. The others go on; `start` brings it back.
    Died {
        /// Its name.
        name: String,
        /// Exit code or signal.
        how: String,
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        last_lines: Vec<String>,
    },
    /// A process was killed because somebody asked.
    Killed {
        /// Its name.
        name: String,
    },
    /// The network is being stopped; asked again, it is killed at once.
    Stopping,
    /// A process ended because it was told to.
    Stopped {
        /// Its name.
        name: String,
        /// It had to be killed: it did not end in time after SIGTERM.
        forced: bool,
    },
    /// Something that does not stop the network.
    Warning(String),
}
