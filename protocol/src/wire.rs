//! The bytes between nodes: the types generated from `proto/weft/v1/wire.proto`, which is their documentation.
#![allow(missing_docs, clippy::all, reason = "generated; documented in the .proto file")]

include!(concat!(env!("OUT_DIR"), "/weft.v1.rs"));
