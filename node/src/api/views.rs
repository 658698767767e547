//! What people look at: the node, its processes, who was elected and why.

use serde_json::{Value, json};
use weft_protocol::{Id, cron, election, network::Role};

use super::{Api, DoorError, ErrorKind, NodeRef, ProcessSummary, ProcessView, StatusView};

/// Processes listed at once at most.
const LISTED: usize = 1_000;

impl Api {
    pub(super) async fn process_view(&self, process: Id) -> Result<ProcessView, DoorError> {
        let located = self.locate(&process).await?;
        let tag = located.item.tag("Scheduler").unwrap_or_default();
        let explained = election::explain(self.network(), process, tag)
            .map_err(|e| DoorError::new(ErrorKind::Internal, e.to_string()))?;
        let head = self.behind().peers.process(located.scheduler, &process).await;
        let messengers = self.behind().directory.messengers(&process, &located.scheduler);
        let provider = self.provider(process).await;
        Ok(ProcessView {
            id: process,
            next_slot: head.map_or(0, |p| p.next_slot),
            election: serde_json::to_value(&explained).unwrap_or_default(),
            scheduler: self.node_ref(&located.scheduler),
            messengers: messengers.iter().map(|key| self.node_ref(key)).collect(),
            provider,
            crons: cron::read(located.item.tags()).unwrap_or_default().into_iter().map(|cron| cron.interval).collect(),
            item: located.item.raw().clone(),
            assignment: located.assignment.raw().clone(),
        })
    }

    /// Who signed the newest outcome: that is who holds the lease, or held it last.
    async fn provider(&self, process: Id) -> Option<NodeRef> {
        let range = crate::door::ResultsRange { from_slot: 0, to_slot: u64::MAX, limit: 1, descending: true };
        let newest = self.results_of(process, range).await.ok()?.results.into_iter().next()?;
        newest.provider.parse().ok().map(|key| self.node_ref(&key))
    }

    pub(super) async fn process_list(&self, after: Option<Id>, limit: u32) -> Result<Vec<ProcessSummary>, DoorError> {
        let limit = usize::try_from(limit).unwrap_or(LISTED).clamp(1, LISTED);
        let query = weft_protocol::wire::HeadsQuery {
            after: after.map(|id| crate::scheduler::id_bytes(&id)).unwrap_or_default(),
            limit: u32::try_from(limit).unwrap_or(1),
        };
        let me = self.0.identity.key;
        let schedulers: Vec<_> = self.network().members(Role::Scheduler).map(|m| m.key).collect();
        let reachable =
            schedulers.into_iter().filter(|key| *key == me || self.behind().peers.network().is_connected(key));
        let asked = reachable.map(|key| {
            let query = query.clone();
            async move { (key, self.behind().peers.heads(key, query).await) }
        });
        let mut list = Vec::new();
        for (key, heads) in futures::future::join_all(asked).await {
            for head in heads.map(|h| h.heads).unwrap_or_default() {
                if let Some(id) = Id::from_slice(&head.process) {
                    list.push(ProcessSummary {
                        id,
                        name: None,
                        next_slot: head.next_slot,
                        scheduler: self.node_ref(&key),
                    });
                }
            }
        }
        list.sort_by_key(|p| p.id);
        list.truncate(limit);
        for summary in &mut list {
            let located = self.behind().directory.locate(&summary.id).await.ok();
            summary.name = located.and_then(|l| l.item.tag("Name").map(str::to_owned));
        }
        Ok(list)
    }

    pub(super) async fn status_view(&self) -> StatusView {
        let identity = &self.0.identity;
        let anchor = match &self.behind().anchor {
            Some(anchor) => serde_json::to_value(anchor.summary()).unwrap_or_default(),
            None => json!({ "off": "no wallet is configured" }),
        };
        StatusView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: NodeRef { name: identity.name.clone(), key: identity.key.to_string() },
            roles: identity.roles.clone(),
            network: json!({
                "name": self.network().name(),
                "id": self.network().id(),
                "address": self.network().address(),
                "parameters": self.network().parameters(),
                "members": self.members(),
            }),
            mesh: self.mesh(),
            work: self.work(),
            anchor,
            uptime_seconds: identity.started.elapsed().as_secs(),
            not_ready: self.not_ready(),
        }
    }

    fn members(&self) -> Vec<Value> {
        let network = self.behind().peers.network();
        let me = self.0.identity.key;
        let one = |m: &weft_protocol::network::Member| {
            json!({
                "name": m.name,
                "key": m.key,
                "address": m.key.address(),
                "bond": m.bond,
                "owner": m.owner,
                "roles": m.roles,
                "connected": m.key == me || network.is_connected(&m.key),
            })
        };
        self.network().all_members().iter().map(one).collect()
    }

    fn mesh(&self) -> Value {
        let network = self.behind().peers.network();
        let peers: Vec<Value> = network
            .peers()
            .iter()
            .map(|p| {
                json!({
                    "name": self.behind().directory.name(&p.key),
                    "key": p.key,
                    "address": p.address.to_string(),
                    "rtt_ms": p.rtt.map(|rtt| rtt.as_secs_f64() * 1_000.0),
                    "agent": p.agent,
                })
            })
            .collect();
        let listen: Vec<String> = network.dial_addresses().iter().map(ToString::to_string).collect();
        json!({ "peers": peers, "listen": listen })
    }

    fn work(&self) -> Value {
        let log = self.log_store().stats();
        let compute = self.behind().compute.tools();
        let machine = &compute.machine;
        let results = machine.store.stats();
        let pool = machine.pool.stats();
        json!({
            "sealed_since_start": log.records,
            "log_flushes_since_start": log.syncs,
            "log_bytes": log.end,
            "attested_since_start": results.records,
            "live_processes": pool.live,
            "live_bytes": pool.live_bytes,
            "live_bytes_limit": pool.max_live_bytes,
            "parked_processes": pool.parked,
            "parked_bytes": pool.parked_bytes,
            "revived_since_start": pool.revivals,
            "evicted_since_start": pool.evicted,
            "evaluations_waiting": pool.waiting,
            "engine_profile": machine.engine.profile().id(),
            "compute_off": compute.off,
        })
    }

    fn not_ready(&self) -> Vec<String> {
        let network = self.behind().peers.network();
        let others = self.network().all_members().iter().filter(|m| m.key != self.0.identity.key).count();
        let mut reasons = Vec::new();
        if others > 0 && network.peers().is_empty() {
            reasons.push(self.alone(network.status().wrong_network));
        }
        if self.0.identity.height.load(std::sync::atomic::Ordering::Relaxed) == 0 {
            reasons.push("no Arweave gateway has answered yet: check `gateways` in node.toml".to_owned());
        }
        reasons
    }

    /// Why there may be no peers, with the network's name and id: what a wrong network file differs in.
    fn alone(&self, turned_away: u64) -> String {
        let (name, id) = (self.network().name(), self.network().id());
        if turned_away == 0 {
            return format!(
                "no peers: check that a boot node of the network file is up, reachable and of network {name} ({id})"
            );
        }
        format!(
            "no peers: turned away because they are of another network: {turned_away}; this node's network file says {name} \
             ({id}): check that it is the one the others use"
        )
    }
}
