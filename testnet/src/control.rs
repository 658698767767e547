//! The control socket: other processes steer the supervisor by one line each.
//!
//! A connection carries one request line (`kill NAME`, `start NAME`, `down`) and one answer line (`ok …` or `error …`), each of
//! at most [`MAX_LINE`] bytes, within [`PATIENCE`]. Connections are served one after the other.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{
        ffi::OsStrExt as _,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use weft_protocol::Id;

use crate::TestnetError;

/// Longest line in either direction, in bytes.
const MAX_LINE: u64 = 512;
/// How long either side waits for the other's line.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longest path a socket can have is 107 bytes on Linux, 103 on macOS.
const MAX_PATH: usize = 100;

/// Where the supervisor answers a request: once.
pub(crate) type Reply = SyncSender<Result<String, String>>;

/// What the supervisor is asked.
pub(crate) enum Command {
    /// A signal: stop; the second time at once.
    Stop,
    /// Stop, because `down` asked.
    Down(Reply),
    /// Kill this process.
    Kill(String, Reply),
    /// Start this process again.
    Start(String, Reply),
}

/// The listening side; stops and removes the socket when dropped.
pub(crate) struct Control {
    path: PathBuf,
    ended: Arc<AtomicBool>,
}

impl Control {
    /// Listens for the network in `dir` and forwards what comes.
    pub fn listen(dir: &Path, commands: SyncSender<Command>) -> Result<Self, TestnetError> {
        let path = socket_path(dir);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(TestnetError::io("replace", &path)(error));
            }
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(TestnetError::io("listen on", &path))?;
        let ended = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ended);
        let serve = move || {
            for stream in listener.incoming() {
                if until.load(Ordering::Acquire) {
                    return;
                }
                // A client that goes away or talks nonsense is its own problem.
                let _ = stream.and_then(|stream| serve(&stream, &commands));
            }
        };
        thread::Builder::new()
            .name("weft-control".to_owned())
            .spawn(serve)
            .map_err(TestnetError::io("serve", &path))?;
        Ok(Self { path, ended })
    }

    /// Where clients connect.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // Wakes the thread so that it sees the flag; without it the thread would only end with the program.
        let _ = UnixStream::connect(&self.path);
        let _ = fs::remove_file(&self.path);
    }
}

/// In the folder, or, when that path is too long for a socket, in the folder for temporary files.
fn socket_path(dir: &Path) -> PathBuf {
    let path = dir.join("control.sock");
    if path.as_os_str().len() <= MAX_PATH {
        return path;
    }
    let name = Id::sha256(dir.as_os_str().as_bytes()).short();
    std::env::temp_dir().join(format!("weft-testnet-{}-{name}.sock", rustix::process::getuid().as_raw()))
}

fn serve(stream: &UnixStream, commands: &SyncSender<Command>) -> io::Result<()> {
    let line = read_line(stream)?;
    let (reply, answer) = sync_channel(1);
    let command = match line.split_once(' ').unwrap_or((&line, "")) {
        ("kill", name) => Some(Command::Kill(name.to_owned(), reply)),
        ("start", name) => Some(Command::Start(name.to_owned(), reply)),
        ("down", "") => Some(Command::Down(reply)),
        _ => None,
    };
    let answer = match command {
        None => Err("unknown command: expected kill NAME, start NAME or down".to_owned()),
        Some(command) => match commands.try_send(command) {
            Ok(()) => answer.recv_timeout(PATIENCE).unwrap_or_else(|_| Err("no answer in time".to_owned())),
            Err(_) => Err("busy or stopping; try again".to_owned()),
        },
    };
    let line = match answer {
        Ok(text) => format!("ok {text}\n"),
        Err(text) => format!("error {text}\n"),
    };
    (&mut &*stream).write_all(line.as_bytes())
}

fn read_line(stream: &UnixStream) -> io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_LINE)).read_line(&mut line)?;
    line.strip_suffix('\n').map(str::to_owned).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Sends one request to the supervisor at `socket`: its `ok` text, or its `error` text as the inner error.
pub(crate) fn ask(socket: &Path, request: &str) -> io::Result<Result<String, String>> {
    if request.len() as u64 >= MAX_LINE || request.contains('\n') {
        return Ok(Err("that name is too long or has a line break".to_owned()));
    }
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    let answer = read_line(&stream)?;
    match answer.split_once(' ') {
        Some(("ok", text)) => Ok(Ok(text.to_owned())),
        Some(("error", text)) => Ok(Err(text.to_owned())),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is not one of a testnet")),
    }
}
