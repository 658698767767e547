//! The chunks of a transaction's data, the tree over them (its root is `data_root`) and the paths that prove a chunk.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

use crate::Id;

/// Most bytes of a chunk.
pub const MAX_CHUNK: u64 = 256 * 1024;
/// Least bytes of a chunk that is not the last of its kind: a shorter remainder is evened out with the chunk before it.
pub const MIN_CHUNK: u64 = 32 * 1024;

/// Bytes of one level of a path, and of its last part.
const BRANCH_LEN: usize = 96;
const LEAF_LEN: usize = 64;
/// Longest path there is for 2^64 bytes of data.
const MAX_PATH_LEN: usize = 64 * BRANCH_LEN + LEAF_LEN;

/// A chunk as posted to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// First byte in the data.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// What a node calls the chunk's offset: its last byte.
    pub offset: u64,
    /// SHA-256 of the chunk.
    pub data_hash: Id,
    /// The proof against the data root.
    pub data_path: Vec<u8>,
}

/// Data cut into chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunks {
    /// The root of the tree.
    pub data_root: Id,
    /// The chunks to upload, in order.
    pub chunks: Vec<Chunk>,
}

/// What a valid path proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// First byte of the chunk in the data.
    pub start: u64,
    /// One past its last byte.
    pub end: u64,
    /// SHA-256 of the chunk.
    pub data_hash: Id,
}

/// Why a chunk is not proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The offset lies outside the data.
    #[error("offset {offset} lies outside the data of {size} bytes")]
    Offset {
        /// What was asked for.
        offset: u64,
        /// Bytes of the data.
        size: u64,
    },
    /// The path has a length that no path has.
    #[error("a path of {0} bytes is no path")]
    Length(usize),
    /// A hash in the path does not fit.
    #[error("the path does not lead from the data root to the chunk")]
    Hash,
    /// A number in the path does not fit.
    #[error("the path has bounds that no chunk has")]
    Bounds,
    /// The chunk is not the one that the path proves.
    #[error("the chunk is not the one that the path proves")]
    Chunk,
}

/// The borders of the leaves for data of `size` bytes, as arweave-js draws them: an exact multiple of [`MAX_CHUNK`] ends
/// with an empty leaf, which is part of the tree and is not uploaded.
fn borders(size: u64) -> Vec<Range<u64>> {
    let mut leaves = Vec::new();
    let mut start = 0_u64;
    let mut rest = size;
    while rest >= MAX_CHUNK {
        let after = rest - MAX_CHUNK;
        let cut = if after > 0 && after < MIN_CHUNK { rest.div_ceil(2) } else { MAX_CHUNK };
        leaves.push(start..start.saturating_add(cut));
        start = start.saturating_add(cut);
        rest -= cut;
    }
    leaves.push(start..size);
    leaves
}

/// Cuts `data` into chunks with their proofs; `None` for empty data, which has no root.
pub fn chunk(data: &[u8]) -> Option<Chunks> {
    let leaves = leaves(data)?;
    let mut chunks: Vec<Chunk> = leaves.iter().map(Leaf::chunk).collect();
    let mut level: Vec<Node> = leaves.iter().enumerate().map(|(index, leaf)| leaf.node(index)).collect();
    while level.len() > 1 {
        level = level.chunks(2).map(|pair| join(pair, &mut chunks)).collect::<Option<_>>()?;
    }
    let data_root = level.first()?.id;
    for (chunk, leaf) in chunks.iter_mut().zip(&leaves) {
        // Levels were added from the leaf up and are told from the root down.
        let mut path = Vec::with_capacity(chunk.data_path.len().saturating_add(LEAF_LEN));
        chunk.data_path.rchunks_exact(BRANCH_LEN).for_each(|level| path.extend_from_slice(level));
        path.extend_from_slice(leaf.data_hash.as_bytes());
        path.extend_from_slice(&note(leaf.range.end));
        chunk.data_path = path;
    }
    chunks.retain(|chunk| chunk.end > chunk.start);
    Some(Chunks { data_root, chunks })
}

/// The root of the tree over `data`; `None` for empty data.
pub fn data_root(data: &[u8]) -> Option<Id> {
    let mut level: Vec<Node> = leaves(data)?.iter().enumerate().map(|(index, leaf)| leaf.node(index)).collect();
    while level.len() > 1 {
        level = level.chunks(2).map(|pair| join(pair, &mut [])).collect::<Option<_>>()?;
    }
    level.first().map(|root| root.id)
}

struct Leaf {
    range: Range<u64>,
    data_hash: Id,
}

struct Node {
    id: Id,
    /// The leaves under this node.
    leaves: Range<usize>,
    /// One past the last byte under this node.
    max: u64,
}

impl Leaf {
    fn chunk(&self) -> Chunk {
        let Range { start, end } = self.range;
        Chunk { start, end, offset: end.saturating_sub(1), data_hash: self.data_hash, data_path: Vec::new() }
    }

    fn node(&self, index: usize) -> Node {
        let id = leaf_id(&self.data_hash, self.range.end);
        Node { id, leaves: index..index.saturating_add(1), max: self.range.end }
    }
}

fn leaves(data: &[u8]) -> Option<Vec<Leaf>> {
    if data.is_empty() {
        return None;
    }
    borders(data.len() as u64)
        .into_iter()
        .map(|range| {
            let bytes = data.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)?;
            Some(Leaf { data_hash: Id::sha256(bytes), range })
        })
        .collect()
}

/// Joins two nodes, telling the level to every chunk under them; a single node moves up as it is.
fn join(pair: &[Node], chunks: &mut [Chunk]) -> Option<Node> {
    let (left, right) = match pair {
        [left, right] => (left, right),
        [single] => return Some(Node { id: single.id, leaves: single.leaves.clone(), max: single.max }),
        _ => return None,
    };
    let leaves = left.leaves.start..right.leaves.end;
    for chunk in chunks.get_mut(leaves.clone()).unwrap_or_default() {
        chunk.data_path.extend_from_slice(left.id.as_bytes());
        chunk.data_path.extend_from_slice(right.id.as_bytes());
        chunk.data_path.extend_from_slice(&note(left.max));
    }
    Some(Node { id: branch_id(&left.id, &right.id, left.max), leaves, max: right.max })
}

/// A number as the tree has it: 32 bytes big-endian.
fn note(number: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    if let Some(low) = bytes.last_chunk_mut() {
        *low = number.to_be_bytes();
    }
    bytes
}

fn read_note(bytes: &[u8]) -> Option<u64> {
    let (high, low) = bytes.split_last_chunk::<8>()?;
    (high.len() == 24 && high.iter().all(|byte| *byte == 0)).then(|| u64::from_be_bytes(*low))
}

fn hash_of_hashes(parts: &[&[u8]]) -> Id {
    let outer = parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(Sha256::digest(part)));
    Id::from_bytes(outer.finalize().into())
}

fn leaf_id(data_hash: &Id, end: u64) -> Id {
    hash_of_hashes(&[data_hash.as_bytes(), &note(end)])
}

fn branch_id(left: &Id, right: &Id, left_max: u64) -> Id {
    hash_of_hashes(&[left.as_bytes(), right.as_bytes(), &note(left_max)])
}

/// Follows `path` from `data_root` down to the chunk that holds byte `offset` of data of `size` bytes.
///
/// # Errors
/// [`PathError`] when any hash, bound or length does not fit.
pub fn validate_path(data_root: &Id, offset: u64, size: u64, path: &[u8]) -> Result<Proof, PathError> {
    if offset >= size {
        return Err(PathError::Offset { offset, size });
    }
    if path.len() > MAX_PATH_LEN || path.len() % BRANCH_LEN != LEAF_LEN {
        return Err(PathError::Length(path.len()));
    }
    let mut expected = *data_root;
    let (mut start, mut end) = (0, size);
    let mut rest = path;
    while let Some((branch, below)) = rest.split_first_chunk::<BRANCH_LEN>() {
        rest = below;
        let (left, right, pivot) = read_branch(branch).ok_or(PathError::Bounds)?;
        if branch_id(&left, &right, pivot) != expected {
            return Err(PathError::Hash);
        }
        if pivot < start || pivot > end {
            return Err(PathError::Bounds);
        }
        if offset < pivot {
            (expected, end) = (left, pivot);
        } else {
            (expected, start) = (right, pivot);
        }
    }
    let (data_hash, last) = rest.split_first_chunk::<32>().ok_or(PathError::Length(path.len()))?;
    let data_hash = Id::from_bytes(*data_hash);
    let last = read_note(last).ok_or(PathError::Bounds)?;
    if leaf_id(&data_hash, last) != expected {
        return Err(PathError::Hash);
    }
    if last != end || end.saturating_sub(start) > MAX_CHUNK {
        return Err(PathError::Bounds);
    }
    Ok(Proof { start, end, data_hash })
}

fn read_branch(branch: &[u8; BRANCH_LEN]) -> Option<(Id, Id, u64)> {
    let (left, rest) = branch.split_first_chunk::<32>()?;
    let (right, pivot) = rest.split_first_chunk::<32>()?;
    Some((Id::from_bytes(*left), Id::from_bytes(*right), read_note(pivot)?))
}

/// Checks that `chunk` is the one that `path` proves for `offset`.
///
/// # Errors
/// As [`validate_path`], and [`PathError::Chunk`].
pub fn validate_chunk(data_root: &Id, offset: u64, size: u64, path: &[u8], chunk: &[u8]) -> Result<Proof, PathError> {
    let proof = validate_path(data_root, offset, size, path)?;
    let fits = chunk.len() as u64 == proof.end.saturating_sub(proof.start) && Id::sha256(chunk) == proof.data_hash;
    if fits { Ok(proof) } else { Err(PathError::Chunk) }
}
