//! A peer that speaks the protocols but not the rules, against a real node.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{io, time::Duration};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::{
    StreamProtocol, Swarm, SwarmBuilder, noise, request_response,
    swarm::{SwarmEvent, dial_opts::DialOpts},
    tcp, yamux,
};
use prost::Message;
use tokio::time::timeout;
use weft_protocol::Id;

use super::{config::Names, *};

/// Writes whatever it is given and reads whatever comes.
#[derive(Clone, Default)]
struct Raw;

impl request_response::Codec for Raw {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        _: &mut T,
    ) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        io.read_to_end(&mut all).await?;
        Ok(all)
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> io::Result<()> {
        io.write_all(&bytes).await
    }

    /// A response of 4 GiB, so it says.
    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        _: Vec<u8>,
    ) -> io::Result<()> {
        io.write_all(&[255; 4]).await
    }
}

type Hostile = Swarm<request_response::Behaviour<Raw>>;

const DEADLINE: Duration = Duration::from_secs(10);

fn network() -> Id {
    Id::sha256(b"hostile")
}

fn hostile(lane: Lane) -> Hostile {
    let protocol = Names::new(&network()).lane(lane).unwrap();
    let behaviour = || {
        request_response::Behaviour::<Raw>::new(
            [(protocol, request_response::ProtocolSupport::Full)],
            request_response::Config::default(),
        )
    };
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| behaviour())
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(DEADLINE))
        .build();
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    swarm
}

async fn victim(boot: Vec<Multiaddr>) -> (NetworkHandle, mpsc::Receiver<Inbound>) {
    let mut config = NetworkConfig::new([1; 32], network());
    config.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
    config.boot = boot;
    config.dev = true;
    let (handle, inbound) = Network::spawn(config, None).unwrap();
    let mut view = handle.view();
    timeout(DEADLINE, view.wait_for(|view| !view.listen.is_empty())).await.unwrap().unwrap();
    (handle, inbound)
}

async fn connect(swarm: &mut Hostile, victim: &NetworkHandle) -> PeerId {
    let peer = keys::peer_id(&victim.key()).unwrap();
    swarm.dial(DialOpts::peer_id(peer).addresses(victim.listen_addresses()).build()).unwrap();
    while !swarm.is_connected(&peer) {
        timeout(DEADLINE, swarm.select_next_some()).await.unwrap();
    }
    peer
}

/// Send raw bytes; what came back, decoded if it can be.
async fn ask(swarm: &mut Hostile, peer: &PeerId, bytes: Vec<u8>) -> Option<wire::Response> {
    use request_response::{Event, Message as Exchange};
    swarm.behaviour_mut().send_request(peer, bytes);
    loop {
        match timeout(DEADLINE, swarm.select_next_some()).await.expect("an answer or an error") {
            SwarmEvent::Behaviour(Event::Message { message: Exchange::Response { response, .. }, .. }) => {
                return wire::Response::decode(response.get(4..)?).ok();
            }
            SwarmEvent::Behaviour(Event::OutboundFailure { .. }) => return None,
            _ => {}
        }
    }
}

fn code(response: Option<&wire::Response>) -> Option<&str> {
    match response?.body.as_ref()? {
        wire::response::Body::Refusal(refusal) => Some(&refusal.code),
        _ => None,
    }
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

fn item() -> wire::Request {
    wire::Request { body: Some(wire::request::Body::Item(wire::ItemQuery::default())) }
}

#[tokio::test]
async fn garbage_oversize_and_wrong_lane_are_refused_and_the_node_lives_on() {
    let (victim, mut inbound) = victim(Vec::new()).await;
    let mut swarm = hostile(Lane::Market);
    let peer = connect(&mut swarm, &victim).await;
    for (bytes, expected) in [
        (framed(&[255; 50]), "malformed"),
        (framed(&[]), "malformed"),
        (framed(&item().encode_to_vec()), "malformed"),
        (vec![255; 4], "too_large"),
    ] {
        let answer = ask(&mut swarm, &peer, bytes.clone()).await;
        assert_eq!(code(answer.as_ref()), Some(expected), "{bytes:?}");
    }
    // A frame that never ends, and one that ends early: no answer, no harm.
    let announced = 65_536u32.to_be_bytes().to_vec();
    assert!(ask(&mut swarm, &peer, announced).await.is_none());
    assert!(ask(&mut swarm, &peer, vec![0]).await.is_none());
    assert!(inbound.try_recv().is_err(), "nothing of it reached the consumer");

    let quote = wire::Request { body: Some(wire::request::Body::Quote(wire::QuoteRequest::default())) };
    let (answer, ()) = tokio::join!(ask(&mut swarm, &peer, framed(&quote.encode_to_vec())), async {
        match inbound.recv().await {
            Some(Inbound::Request { reply, .. }) => reply.refuse("price_below_min", "no", 0),
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(code(answer.as_ref()), Some("price_below_min"));
}

#[tokio::test]
async fn a_peer_that_asks_too_often_is_refused() {
    let (victim, _inbound) = victim(Vec::new()).await;
    let mut swarm = hostile(Lane::Market);
    let peer = connect(&mut swarm, &victim).await;
    let bytes = framed(&item().encode_to_vec());
    let mut refused = 0;
    while refused == 0 {
        let answer = ask(&mut swarm, &peer, bytes.clone()).await;
        refused = u64::from(code(answer.as_ref()) == Some("capacity"));
    }
    assert_eq!(victim.status().limits.rate, 1);
}

#[tokio::test]
async fn an_answer_that_claims_to_be_huge_is_not_taken() {
    let mut swarm = hostile(Lane::Read);
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address.with_p2p(*swarm.local_peer_id()).unwrap();
        }
    };
    let key = keys::node_key(swarm.local_peer_id()).unwrap();
    let (victim, _inbound) = victim(vec![address]).await;
    let server = async {
        use request_response::{Event, Message as Exchange};
        loop {
            if let SwarmEvent::Behaviour(Event::Message { message: Exchange::Request { channel, .. }, .. }) =
                swarm.select_next_some().await
            {
                swarm.behaviour_mut().send_response(channel, Vec::new()).unwrap();
            }
        }
    };
    let outcome = tokio::select! {
        () = server => panic!("the server ended"),
        outcome = victim.request(key, item()) => outcome,
    };
    assert!(matches!(&outcome, Err(RequestError::Closed { reason, .. }) if reason.contains("bytes")), "{outcome:?}");
    let eval = wire::Request { body: Some(wire::request::Body::Eval(wire::Eval::default())) };
    // It serves the read lane only, and shows nobody that it is of our network.
    tokio::spawn(async move { while swarm.next().await.is_some() {} });
    let outcome = victim.request(key, eval).await;
    assert!(matches!(outcome, Err(RequestError::Unsupported { .. })), "{outcome:?}");
    assert!(victim.peers().is_empty());
}

#[test]
fn keys_and_peer_ids_are_the_same_thing() {
    let swarm_key = libp2p::identity::Keypair::ed25519_from_bytes([9; 32]).unwrap();
    let peer = swarm_key.public().to_peer_id();
    let key = keys::node_key(&peer).unwrap();
    assert_eq!(keys::peer_id(&key), Some(peer));
    assert_eq!(key.as_bytes(), &swarm_key.public().try_into_ed25519().unwrap().to_bytes());
}
