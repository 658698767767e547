//! The node key and the libp2p peer id are the same thing in two notations; this is the translation.

use libp2p::{PeerId, identity};

use super::NodeKey;

/// Multihash code of "the digest is the key itself", which is what libp2p uses for ed25519 keys.
const IDENTITY_HASH: u64 = 0;

/// The peer id of the node with this key, or `None` when the 32 bytes are no ed25519 key.
pub fn peer_id(key: &NodeKey) -> Option<PeerId> {
    let key = identity::ed25519::PublicKey::try_from_bytes(key.as_bytes()).ok()?;
    Some(identity::PublicKey::from(key).to_peer_id())
}

/// The node key inside a peer id, or `None` when the peer has no ed25519 identity.
pub fn node_key(peer: &PeerId) -> Option<NodeKey> {
    let hash = peer.as_ref();
    if hash.code() != IDENTITY_HASH {
        return None;
    }
    let key = identity::PublicKey::try_decode_protobuf(hash.digest()).ok()?;
    Some(NodeKey::from_bytes(key.try_into_ed25519().ok()?.to_bytes()))
}
