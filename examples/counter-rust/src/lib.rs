//! A whole AO process in Rust, without any library: it counts.
//!
//! `handle` at the end is called once for each message; `State` is what the process remembers. The calling convention is
//! described in `examples/README.md`, the messages in the README beside this file.

#![no_std]
#![deny(unsafe_op_in_unsafe_fn)]

mod json;
mod room;

use json::{Reader, Text, Writer};

/// What the process remembers. It lives in the module's memory, so it is there again when the next message comes; what a
/// message changed before it ended in an `Error` is undone by the node.
struct State {
    count: u64,
    /// Messages sent so far: gives each outgoing message a number of its own.
    sent: u64,
}

static mut STATE: State = State { count: 0, sent: 0 };

/// The parts of a message that this process looks at; texts are as they stand in the JSON.
#[derive(Default)]
struct Message<'a> {
    from: Text<'a>,
    action: Text<'a>,
    by: Text<'a>,
    kind: Text<'a>,
}

impl<'a> Message<'a> {
    fn read(json: &'a [u8]) -> Self {
        let mut message = Self::default();
        let mut reader = Reader::new(json);
        reader.object(|name, reader| match name {
            b"From" => message.from = reader.text(),
            b"Tags" => reader.list(|reader| {
                let (mut name, mut value) = (Text::default(), Text::default());
                reader.object(|member, reader| match member {
                    b"name" => name = reader.text(),
                    b"value" => value = reader.text(),
                    _ => reader.skip(),
                });
                // The first tag of a name counts.
                match name.0 {
                    b"Action" => message.action = message.action.or(value),
                    b"By" => message.by = message.by.or(value),
                    b"Type" => message.kind = message.kind.or(value),
                    _ => {}
                }
            }),
            _ => reader.skip(),
        });
        message
    }
}

/// `Process.Owner` of the environment.
fn owner(json: &[u8]) -> Text<'_> {
    let mut owner = Text::default();
    Reader::new(json).object(|name, reader| match name {
        b"Process" => reader.object(|name, reader| match name {
            b"Owner" => owner = reader.text(),
            _ => reader.skip(),
        }),
        _ => reader.skip(),
    });
    owner
}

/// What one message does.
fn answer(state: &mut State, message: &Message<'_>, owner: Text<'_>, out: &mut Writer<'_>) {
    match message.action.0 {
        b"Ping" => {
            begin(out, |out| out.put("pong"));
            send(state, out, message.from, "Pong", |out, _| out.put("pong"));
            end(out);
        }
        b"Increment" => {
            // Without a tag `By` it is one; what is no number is the sender's mistake and changes nothing.
            let by = if message.by.0.is_empty() { Some(1) } else { message.by.number() };
            match by.and_then(|by| state.count.checked_add(by)) {
                Some(count) => state.count = count,
                None => return error(out, "By must be a whole number, not: ", message.by),
            }
            begin(out, |out| out.number(state.count));
            send(state, out, message.from, "Count", |out, state| out.number(state.count));
            end(out);
        }
        b"Reset" if message.from == owner => {
            state.count = 0;
            begin(out, |out| out.put("0"));
            end(out);
        }
        b"Reset" => error(out, "only the process's owner may reset it, not: ", message.from),
        // Answers of other counters. Saying nothing keeps two of them from talking for ever.
        b"Pong" | b"Count" => {
            begin(out, |out| out.put("noted"));
            end(out);
        }
        // The first message of every process is the process item itself.
        b"" if message.kind.0 == b"Process" => {
            begin(out, |out| out.put("ready"));
            end(out);
        }
        _ => error(out, "unknown Action; use Ping, Increment or Reset, not: ", message.action),
    }
}

/// The result up to its list of messages.
fn begin(out: &mut Writer<'_>, data: impl FnOnce(&mut Writer<'_>)) {
    out.put(r#"{"ok":true,"response":{"Output":{"data":""#);
    data(out);
    out.put(r#""},"Spawns":[],"Assignments":[],"Messages":["#);
}

fn end(out: &mut Writer<'_>) {
    out.put("]}}");
}

fn error(out: &mut Writer<'_>, what: &str, detail: Text<'_>) {
    out.put(r#"{"ok":true,"response":{"Error":""#);
    out.put(what);
    out.text(detail);
    out.put(r#""}}"#);
}

/// A message in the result's list (of one: this process never sends two at once).
fn send(
    state: &mut State,
    out: &mut Writer<'_>,
    to: Text<'_>,
    action: &str,
    data: impl FnOnce(&mut Writer<'_>, &State),
) {
    state.sent += 1;
    out.put(r#"{"Target":""#);
    out.text(to);
    out.put(r#"","Data":""#);
    data(out, state);
    // 32 characters, as the wire wants them.
    out.put(r#"","Anchor":""#);
    out.padded(state.sent, 32);
    out.put(r#"","Tags":[{"name":"Data-Protocol","value":"ao"},{"name":"Variant","value":"ao.TN.1"},"#);
    out.put(r#"{"name":"Type","value":"Message"},{"name":"Action","value":""#);
    out.put(action);
    out.put(r#""},{"name":"Reference","value":""#);
    out.number(state.sent);
    out.put(r#""}]}"#);
}

/// Room of `length` bytes in this module's memory; 0 if there is none. The node asks for it before it calls `handle`.
#[no_mangle]
pub extern "C" fn alloc(length: u32) -> u32 {
    room::take(length)
}

/// One message: where the node put it and its environment, both JSON; the answer is where the result is (upper half) and
/// how long it is (lower half).
///
/// # Safety
/// The node calls it with what `alloc` gave, filled.
#[no_mangle]
pub unsafe extern "C" fn handle(message: u32, message_length: u32, environment: u32, environment_length: u32) -> u64 {
    // SAFETY: the node has written both texts there, and nobody else runs in this memory.
    let (message, environment) = unsafe {
        (
            core::slice::from_raw_parts(message as *const u8, message_length as usize),
            core::slice::from_raw_parts(environment as *const u8, environment_length as usize),
        )
    };
    // What comes out is the message's own texts, each at most once, and less than 1 KiB around them.
    let size = message.len() + 1024;
    let at = room::take(size as u32);
    if at == 0 {
        core::arch::wasm32::unreachable();
    }
    // SAFETY: `at` is fresh room of `size` bytes; `STATE` is reached from here only, one message at a time.
    let (out, state) =
        unsafe { (core::slice::from_raw_parts_mut(at as *mut u8, size), &mut *core::ptr::addr_of_mut!(STATE)) };
    let mut out = Writer::new(out);
    answer(state, &Message::read(message), owner(environment), &mut out);
    room::give_back_at_the_next_message();
    u64::from(at) << 32 | out.written() as u64
}

/// A bug ends the evaluation: the node undoes the message and tells its sender.
#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
