//! What can go wrong with a local network, and what to do next.

use std::{io, path::PathBuf};

use weft_protocol::network::NetworkError;

/// Why a request about a local network was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum TestnetError {
    /// An option has a value that cannot be.
    #[error("{field} = {value}: {fix}")]
    Option {
        /// The option's name.
        field: &'static str,
        /// The value given.
        value: String,
        /// What to give instead.
        fix: String,
    },
    /// Another supervisor has the folder.
    #[error(
        "a testnet is already running in {dir}; see it with `weft testnet status`, stop it with `weft testnet down`, or give this one another folder with --data"
    )]
    Running {
        /// The network's folder.
        dir: PathBuf,
    },
    /// Nothing runs there.
    #[error("no testnet is running in {dir}; start it with `weft testnet up` (or name its folder with --data)")]
    NotRunning {
        /// The network's folder.
        dir: PathBuf,
    },
    /// Nothing was ever started there.
    #[error("there is no testnet in {dir}; start one with `weft testnet up` (or name its folder with --data)")]
    NoTestnet {
        /// The network's folder.
        dir: PathBuf,
    },
    /// The folder holds a network made with other options.
    #[error(
        "{dir} holds a testnet with {what} {saved}, not {asked}; leave that option out to resume it, add --reset to start over, or choose another folder with --data"
    )]
    Different {
        /// The network's folder.
        dir: PathBuf,
        /// The option.
        what: &'static str,
        /// Its value in the saved plan.
        saved: String,
        /// Its value now.
        asked: String,
    },
    /// The folder's network file is not the one that this version writes for it.
    #[error(
        "the network.toml of {dir} {found}, but this version of weft would run network {id}: the file was edited, or \
         written by another version. Start over with --reset, or choose another folder with --data"
    )]
    OtherNetwork {
        /// The network's folder.
        dir: PathBuf,
        /// What its file is.
        found: String,
        /// The network that its options give.
        id: weft_protocol::Id,
    },
    /// The folder holds something else.
    #[error("{dir} is not empty and holds no testnet; choose an empty or new folder with --data")]
    ForeignFolder {
        /// The folder.
        dir: PathBuf,
    },
    /// No node of that name.
    #[error("there is no {name} in this testnet; it has {known}")]
    UnknownNode {
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// Every port tried is taken.
    #[error("no free port for {what}: all from {from} on are taken; stop other programs or other testnets")]
    NoPort {
        /// What the port is for.
        what: String,
        /// The first port tried.
        from: u16,
    },
    /// A process ended or stayed silent before it was ready.
    #[error("{name} did not become ready: {why}. The end of its log, {log}:\n{lines}")]
    NotReady {
        /// The process's name.
        name: String,
        /// Ended, or the deadline passed.
        why: String,
        /// Its log file.
        log: PathBuf,
        /// The log's last lines.
        lines: String,
    },
    /// The supervisor refused a command.
    #[error("the running testnet refused: {0}")]
    Refused(String),
    /// The supervisor cannot be talked to although it runs.
    #[error(
        "the running testnet does not answer at {socket}: {source}; end it by its process id {pid} (`kill {pid}`), its nodes end with it"
    )]
    Silent {
        /// The control socket.
        socket: PathBuf,
        /// Process id of the supervisor.
        pid: u32,
        /// The system's answer.
        source: io::Error,
    },
    /// The stop took longer than allowed.
    #[error("the testnet in {dir} is still stopping; look again with `weft testnet status`")]
    StillStopping {
        /// The network's folder.
        dir: PathBuf,
    },
    /// A file of the network's folder is not what was written.
    #[error("{path} cannot be read: {reason}; start over with `weft testnet up --reset`")]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The network file would be refused by the nodes.
    #[error("the network file would be wrong: {0}")]
    Network(#[from] NetworkError),
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was being done, as a verb.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl TestnetError {
    /// An [`TestnetError::Io`] maker for `map_err`.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
