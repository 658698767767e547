//! Peers remembered across restarts, so that a node that was killed is back among them at once.
//!
//! Without this a boot node that comes back knows nobody, and peers connected to it over QUIC only notice when its
//! silence has lasted too long. The file is a cache: one address a line, lost or broken without harm.

use std::{fs, io::Read, path::PathBuf};

use libp2p::{Multiaddr, PeerId};

use super::config::split_peer;

/// Lines kept: a few addresses each of a few dozen peers.
const MAX_LINES: usize = 256;
/// Bytes read at most.
const MAX_BYTES: u64 = 64 * 1024;

/// The remembered peers; what cannot be read is not there.
pub fn load(path: &PathBuf) -> Vec<(PeerId, Multiaddr)> {
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
    if let Err(error) = read {
        tracing::debug!(%error, path = %path.display(), "no remembered peers");
        return Vec::new();
    }
    text.lines().take(MAX_LINES).filter_map(|line| split_peer(&line.parse().ok()?)).collect()
}

/// Remember these, off the network task. Failure is logged: the node works without.
pub fn save(path: PathBuf, peers: Vec<Multiaddr>) {
    let lines: Vec<_> = peers.iter().take(MAX_LINES).map(ToString::to_string).collect();
    tokio::task::spawn_blocking(move || {
        let temporary = path.with_extension("new");
        let written = fs::write(&temporary, lines.join("\n")).and_then(|()| fs::rename(&temporary, &path));
        if let Err(error) = written {
            tracing::warn!(%error, path = %path.display(), "cannot remember peers");
        }
    });
}
