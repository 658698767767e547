#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use futures::{executor::block_on, io::Cursor};
use libp2p::request_response::Codec as _;
use proptest::prelude::*;
use wire::request::Body;

use super::*;

const PROTOCOL: StreamProtocol = StreamProtocol::new("/test");

fn codec() -> FrameCodec {
    FrameCodec {
        request_cap: 1 << 20,
        response_cap: 1 << 20,
        requests: Budget::new(2 << 20),
        responses: Budget::new(2 << 20),
    }
}

fn read(codec: &mut FrameCodec, bytes: &[u8]) -> io::Result<RequestFrame> {
    block_on(codec.read_request(&PROTOCOL, &mut Cursor::new(bytes.to_vec())))
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

fn submit(item: Vec<u8>) -> wire::Request {
    wire::Request { body: Some(Body::Submit(wire::Submit { item: item.into(), proof: None })) }
}

#[test]
fn a_length_beyond_the_cap_is_refused_unread() {
    assert_eq!(read(&mut codec(), &[255; 4]).unwrap().body, Err(Fault::TooLarge));
    let response = block_on(codec().read_response(&PROTOCOL, &mut Cursor::new([255; 4])));
    assert_eq!(response.unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[test]
fn a_frame_that_ends_early_is_an_error() {
    let frame = framed(&submit(vec![1; 100]).encode_to_vec());
    for length in 0..frame.len() {
        assert_eq!(read(&mut codec(), &frame[..length]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "{length}");
    }
}

#[test]
fn nothing_too_large_is_written() {
    let mut out = Cursor::new(Vec::new());
    let frame = RequestFrame { body: Ok(submit(vec![0; 1 << 20])), share: None };
    assert!(block_on(codec().write_request(&PROTOCOL, &mut out, frame)).is_err());
    assert!(out.into_inner().is_empty());
}

#[test]
fn bytes_in_hand_are_bounded_and_given_back() {
    let mut codec = codec();
    let frame = framed(&submit(vec![1; 1_000_000]).encode_to_vec());
    let first = read(&mut codec, &frame).unwrap();
    let second = read(&mut codec, &frame).unwrap();
    assert!(first.body.is_ok() && second.body.is_ok());
    assert_eq!(read(&mut codec, &frame).unwrap().body, Err(Fault::Overloaded));
    drop(first);
    assert!(read(&mut codec, &frame).unwrap().body.is_ok());
}

#[test]
fn a_small_frame_that_would_be_huge_in_memory_is_refused() {
    // Eval with 400,000 empty entries: field 6, length 0.
    let entries = [0x32, 0].repeat(400_000);
    let mut request = vec![0x5a];
    prost::encoding::encode_varint(entries.len() as u64, &mut request);
    request.extend_from_slice(&entries);
    assert!(
        matches!(wire::Request::decode(&request[..]).unwrap().body, Some(Body::Eval(eval)) if eval.entries.len() == 400_000)
    );
    assert_eq!(read(&mut codec(), &framed(&request)).unwrap().body, Err(Fault::Malformed));
}

#[test]
fn the_weight_of_full_pages_is_bearable() {
    let hash = Bytes::from(vec![3; 32]);
    let proof = wire::CrankProof {
        path: vec![hash.clone(); 20],
        attestations: vec![Bytes::from(vec![1; 500]); 3],
        ..Default::default()
    };
    let entry = wire::LogEntry {
        assignment: vec![0; 900].into(),
        item: vec![0; 2_000].into(),
        proof: Some(proof),
        ..Default::default()
    };
    let page = wire::LogPage { entries: vec![entry; 3_000], next_slot: 9 };
    let response = wire::Response { body: Some(wire::response::Body::Log(page)) };
    assert!(weight::bearable(Kind::Response, &response.encode_to_vec()));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let _ = read(&mut codec(), &bytes);
        let _ = read(&mut codec(), &framed(&bytes));
        let _ = block_on(codec().read_response(&PROTOCOL, &mut Cursor::new(framed(&bytes))));
    }

    #[test]
    fn what_decodes_is_bearable(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        // The walk refuses nothing small that prost would take.
        if wire::Request::decode(&bytes[..]).is_ok() && !has_groups(&bytes) {
            prop_assert!(weight::bearable(Kind::Request, &bytes));
        }
    }

    #[test]
    fn round_trip(item in proptest::collection::vec(any::<u8>(), 0..5_000), flip in any::<prop::sample::Index>(), bit in 0..8u8) {
        let request = submit(item);
        let mut out = Cursor::new(Vec::new());
        block_on(codec().write_request(&PROTOCOL, &mut out, RequestFrame { body: Ok(request.clone()), share: None })).unwrap();
        let mut bytes = out.into_inner();
        prop_assert_eq!(read(&mut codec(), &bytes).unwrap().body, Ok(request));
        let at = flip.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let _ = read(&mut codec(), &bytes);
    }
}

/// Protobuf's abandoned groups: prost skips them, the walk refuses them. Nothing we speak has any.
fn has_groups(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| matches!(byte & 7, 3 | 4))
}
