//! As much HTTP as asking whether a process is ready takes: one GET, the status code of the answer.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// Longest status line looked at, in bytes.
const STATUS_LINE: u64 = 64;

/// The status code that `GET path` on a local port is answered with; each step within `timeout`.
pub(crate) fn get_status(port: u16, path: &str, timeout: Duration) -> io::Result<u16> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut start = Vec::new();
    stream.take(STATUS_LINE).read_to_end(&mut start)?;
    let line = String::from_utf8_lossy(&start);
    let mut words = line.split_ascii_whitespace();
    match (words.next(), words.next().and_then(|code| code.parse().ok())) {
        (Some(version), Some(code)) if version.starts_with("HTTP/1.") => Ok(code),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP")),
    }
}
