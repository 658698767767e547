//! Launch, steer and inspect a local network of real nodes.
//!
//! Where it sits: below the `weft testnet` command, above nothing but `weft-protocol`'s types. It starts the `weft` program
//! itself, one operating-system process per node plus one for the Arweave devnet, and does not link the node.
//!
//! [`up`] runs the network until it is stopped, in the calling thread; the other functions steer or inspect it from any
//! other process, by the folder it lives in:
//!
//! ```text
//! DIR/lock            held while the network runs
//! DIR/plan.json       seed, number of nodes, ports: what a later start resumes
//! DIR/testnet.json    what is running now: process ids and addresses (also for scripts)
//! DIR/control.sock    one command a connection: kill NAME, start NAME, down
//! DIR/network.toml    the network file
//! DIR/wallets/        alice.json … judy.json
//! DIR/arweave/        the devnet: data/ log
//! DIR/node-1/ …       node.toml node.key.json wallet.json data/ log
//! ```

mod child;
mod control;
mod error;
mod event;
mod files;
mod http;
mod keys;
mod options;
mod plan;
mod ports;
mod signals;
mod state;
mod steer;
mod supervisor;
mod wallets;

pub use error::TestnetError;
pub use event::Event;
pub use options::{FirstPorts, MAX_NODES, TestnetOptions};
pub use plan::{Plan, PlannedNode, PlannedWallet};
pub use ports::PortMoved;
pub use state::{NodeStatus, Status};
pub use steer::{down, kill, logs, reset, start, status};
pub use supervisor::up;
pub use wallets::{MINTED_WINSTON, Wallet, development_wallets};
