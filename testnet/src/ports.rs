//! Which port belongs to whom: the preferred one when it is free, else the next free one.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, TcpListener, UdpSocket},
};

use serde::{Deserialize, Serialize};

use crate::{FirstPorts, TestnetError};

/// How far above the preferred port to look.
const REACH: u16 = 2_000;

/// All ports of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ports {
    /// The devnet's gateway and uploader.
    pub gateway: Vec<u16>,
    /// Each node's, in order.
    pub nodes: Vec<NodePorts>,
}

/// One node's ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodePorts {
    /// HTTP doors: messenger, scheduler, compute on node 1; one on the others.
    pub http: Vec<u16>,
    /// Peers, UDP and TCP.
    pub peers: u16,
}

/// A port that is not the usual one, because that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PortMoved {
    /// What it is for, e.g. `gateway` or `node-1 messenger`.
    pub what: String,
    /// The usual port.
    pub usual: u16,
    /// The port in use.
    pub port: u16,
}

/// One port to be found.
struct Want {
    what: String,
    usual: u16,
    preferred: u16,
    peers: bool,
}

/// Finds the ports of `nodes` nodes: those of an earlier run (`saved`) when they are still free, else the usual ones.
pub(crate) fn allocate(
    first: FirstPorts,
    nodes: usize,
    saved: Option<&Ports>,
) -> Result<(Ports, Vec<PortMoved>), TestnetError> {
    let wants = wants(first, nodes, saved);
    // Two rounds, so that a port that has to move does not push away its neighbours.
    let mut taken: BTreeSet<u16> = BTreeSet::new();
    let kept: Vec<Option<u16>> = wants
        .iter()
        .map(|want| (free(want.preferred, want.peers) && taken.insert(want.preferred)).then_some(want.preferred))
        .collect();
    let mut found = Vec::with_capacity(wants.len());
    for (want, kept) in wants.iter().zip(kept) {
        let port = match kept {
            Some(port) => port,
            None => next_free(want, &mut taken)?,
        };
        found.push(port);
    }
    let moved = wants
        .iter()
        .zip(&found)
        .filter(|(want, port)| want.usual != **port)
        .map(|(want, port)| PortMoved { what: want.what.clone(), usual: want.usual, port: *port })
        .collect();
    Ok((arrange(&found, nodes), moved))
}

fn wants(first: FirstPorts, nodes: usize, saved: Option<&Ports>) -> Vec<Want> {
    let saved = saved.map(flatten).unwrap_or_default();
    let mut wants = Vec::new();
    let mut want = |what: String, usual: u16, peers: bool| {
        let preferred = saved.get(wants.len()).copied().unwrap_or(usual);
        wants.push(Want { what, usual, preferred, peers });
    };
    for (offset, what) in (0..).zip(["gateway", "uploader", "node-1 messenger", "node-1 scheduler", "node-1 compute"]) {
        want(what.to_owned(), first.gateway.saturating_add(offset), false);
    }
    for (offset, number) in (0..).zip(2..=nodes) {
        want(format!("node-{number} http"), first.nodes.saturating_add(offset), false);
    }
    for (offset, number) in (0..).zip(1..=nodes) {
        want(format!("node-{number} peers"), first.peers.saturating_add(offset), true);
    }
    wants
}

/// In the order of [`wants`].
fn flatten(ports: &Ports) -> Vec<u16> {
    let http = ports.nodes.iter().flat_map(|node| node.http.iter().copied());
    let peers = ports.nodes.iter().map(|node| node.peers);
    ports.gateway.iter().copied().chain(http).chain(peers).collect()
}

/// The opposite of [`flatten`].
fn arrange(found: &[u16], nodes: usize) -> Ports {
    let mut rest = found.iter().copied();
    let gateway = rest.by_ref().take(2).collect();
    let first: Vec<u16> = rest.by_ref().take(3).collect();
    let others: Vec<u16> = rest.by_ref().take(nodes.saturating_sub(1)).collect();
    let http = std::iter::once(first).chain(others.into_iter().map(|port| vec![port]));
    Ports { gateway, nodes: http.zip(rest).map(|(http, peers)| NodePorts { http, peers }).collect() }
}

fn next_free(want: &Want, taken: &mut BTreeSet<u16>) -> Result<u16, TestnetError> {
    let reach = want.preferred.saturating_add(1)..=want.preferred.saturating_add(REACH);
    reach
        .into_iter()
        .find(|port| !taken.contains(port) && free(*port, want.peers))
        .inspect(|port| {
            taken.insert(*port);
        })
        .ok_or_else(|| TestnetError::NoPort { what: want.what.clone(), from: want.preferred })
}

fn free(port: u16, peers: bool) -> bool {
    port != 0
        && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        && (!peers || UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    #[test]
    fn what_is_flattened_is_arranged_again() {
        for nodes in [1, 2, 5] {
            let found: Vec<u16> = (100..).take(5 + nodes - 1 + nodes).collect();
            let ports = arrange(&found, nodes);
            assert_eq!(ports.nodes.len(), nodes);
            assert_eq!(ports.nodes[0].http, [102, 103, 104]);
            assert_eq!(flatten(&ports), found);
        }
    }

    #[test]
    fn a_taken_port_moves_alone_and_is_reported() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let busy = listener.local_addr().unwrap().port();
        let first = FirstPorts {
            gateway: busy.saturating_sub(2),
            nodes: busy.saturating_add(8),
            peers: busy.saturating_add(300),
        };
        let (ports, moved) = allocate(first, 3, None).unwrap();
        let messenger = ports.nodes[0].http[0];
        assert_ne!(messenger, busy);
        assert!(moved.contains(&PortMoved { what: "node-1 messenger".to_owned(), usual: busy, port: messenger }));
        let all = flatten(&ports);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "each port once");
        drop(listener);
        let (again, _) = allocate(first, 3, Some(&ports)).unwrap();
        assert_eq!(again.nodes[0].http[0], messenger, "an earlier run's ports are kept");
    }
}
