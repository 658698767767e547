//! The one frame of all request lanes: four bytes of length, big endian, then the protobuf bytes of a
//! [`wire::Request`] or [`wire::Response`].
//!
//! Runs in the connection's own task, not in the network loop. A length above the lane's cap is refused before anything
//! is allocated; memory grows with the bytes that arrive, not with the length that was claimed; and what decoding would
//! blow up far beyond its size is refused before decoding ([`super::weight`]).

use std::io;

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{StreamProtocol, request_response};
use prost::Message;
use weft_protocol::wire;

use super::{
    limits::{Budget, Share},
    weight::{self, Kind},
};

/// Why a request frame was not handed on; the peer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The length exceeds the lane's cap.
    TooLarge,
    /// The bytes are no request, or one of absurdly many parts.
    Malformed,
    /// Too many bytes are held already.
    Overloaded,
}

/// A request on its way in or out.
#[derive(Debug)]
pub struct RequestFrame {
    /// The request, or why there is none.
    pub body: Result<wire::Request, Fault>,
    /// Its share of the byte budget; kept until it is answered.
    pub share: Option<Share>,
}

/// Reads and writes the frames of one lane.
#[derive(Clone)]
pub struct FrameCodec {
    /// Largest request in bytes.
    pub request_cap: usize,
    /// Largest response in bytes.
    pub response_cap: usize,
    /// Bytes of requests held at once, all lanes together.
    pub requests: Budget,
    /// Bytes of responses being read at once, all lanes together.
    pub responses: Budget,
}

impl request_response::Codec for FrameCodec {
    type Protocol = StreamProtocol;
    type Request = RequestFrame;
    type Response = wire::Response;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<RequestFrame>
    where
        T: AsyncRead + Unpin + Send,
    {
        let refused = |fault| RequestFrame { body: Err(fault), share: None };
        let length = read_length(io).await?;
        if length > self.request_cap {
            return Ok(refused(Fault::TooLarge));
        }
        let Some(share) = self.requests.take(length) else {
            discard(io, length).await?;
            return Ok(refused(Fault::Overloaded));
        };
        let body = read_body(io, length).await?;
        let request = weight::bearable(Kind::Request, &body).then(|| wire::Request::decode(body).ok()).flatten();
        Ok(RequestFrame { body: request.ok_or(Fault::Malformed), share: Some(share) })
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<wire::Response>
    where
        T: AsyncRead + Unpin + Send,
    {
        let length = read_length(io).await?;
        if length > self.response_cap {
            return Err(invalid(format!(
                "the answer has {length} bytes, more than {} are not taken",
                self.response_cap
            )));
        }
        let _share =
            self.responses.take(length).ok_or_else(|| io::Error::other("too many answers are being read at once"))?;
        let body = read_body(io, length).await?;
        if !weight::bearable(Kind::Response, &body) {
            return Err(invalid("the answer has too many parts".to_owned()));
        }
        wire::Response::decode(body).map_err(|error| invalid(format!("the answer is malformed: {error}")))
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, frame: RequestFrame) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let request = frame.body.map_err(|fault| invalid(format!("{fault:?}")))?;
        write_frame(io, &request, self.request_cap).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, response: wire::Response) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_frame(io, &response, self.response_cap).await
    }
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

async fn read_length<T: AsyncRead + Unpin + Send>(io: &mut T) -> io::Result<usize> {
    let mut head = [0; 4];
    io.read_exact(&mut head).await?;
    usize::try_from(u32::from_be_bytes(head)).map_err(|_| invalid("length".to_owned()))
}

async fn read_body<T: AsyncRead + Unpin + Send>(io: &mut T, length: usize) -> io::Result<Bytes> {
    let mut body = Vec::new();
    let read = io.take(length as u64).read_to_end(&mut body).await?;
    if read < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(body.into())
}

/// Read past a frame that there is no room for, so that its sender can read why.
async fn discard<T: AsyncRead + Unpin + Send>(io: &mut T, length: usize) -> io::Result<()> {
    futures::io::copy(io.take(length as u64), &mut futures::io::sink()).await.map(|_| ())
}

async fn write_frame<T: AsyncWrite + Unpin + Send>(io: &mut T, message: &impl Message, cap: usize) -> io::Result<()> {
    let length = message.encoded_len();
    let head = u32::try_from(length)
        .ok()
        .filter(|_| length <= cap)
        .ok_or_else(|| invalid(format!("{length} bytes exceed {cap}")))?;
    let mut frame = Vec::with_capacity(length.saturating_add(4));
    frame.extend_from_slice(&head.to_be_bytes());
    message.encode_raw(&mut frame);
    io.write_all(&frame).await?;
    io.flush().await
}

#[cfg(test)]
mod tests;
