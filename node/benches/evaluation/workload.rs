//! What is evaluated: for each workload the messages that set a process up and those that are timed, the same for every
//! contestant.
//!
//! Messages have what AO's messages have, a signature of 683 characters included: about 1.4 KB each.

use serde_json::{Value, json};
use weft_protocol::Id;

use crate::modules;

/// Accounts that send transfers to each other.
pub const ACCOUNTS: usize = 1000;
/// Balances of the large state.
pub const MANY: usize = 100_000;
/// Bytes of data of a big message.
pub const BIG: usize = 100 << 10;
/// Balances that one setup message of the large state brings.
const AT_ONCE: usize = 10_000;

/// Counts and answers the sender, as the handlers of a plain process do.
const PING: &str = "Pings = 0; Handlers.add('bench', Handlers.utils.hasMatchingTag('Action', 'Ping'), function(msg) \
                    Pings = Pings + 1; ao.send({ Target = msg.From, Action = 'Pong', Data = 'pong ' .. Pings }) end)";
/// Says how long the data is.
const LENGTH: &str = "Handlers.add('bench', Handlers.utils.hasMatchingTag('Action', 'Length'), function(msg) \
                      ao.send({ Target = msg.From, Action = 'Length-Is', Data = tostring(#msg.Data) }) end)";
/// The blueprint, and a way to fill it that the token in Rust has as well.
const TOKEN: &str = concat!(
    include_str!("../../../examples/lua/blueprints/token.lua"),
    "\nHandlers.add('Airdrop', 'Airdrop', function(msg) for to, amount in pairs(require('json').decode(msg.Data)) do \
     Balances[to] = amount end end)"
);

/// What a process is asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Counts and sends one message.
    Ping,
    /// A transfer between 1,000 balances, with its two notices.
    Token,
    /// The same between 100,000 balances.
    Large,
    /// Says how long 100 KiB of data are.
    Big,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Ping, Self::Token, Self::Large, Self::Big];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Token => "token transfer, 1,000 balances",
            Self::Large => "token transfer, 100,000 balances",
            Self::Big => "message of 100 KiB",
        }
    }

    /// Whether a process in Lua (by its blueprint) or one that has it built in.
    fn lua(self) -> &'static str {
        match self {
            Self::Ping => PING,
            Self::Token | Self::Large => TOKEN,
            Self::Big => LENGTH,
        }
    }
}

/// One workload: environment, first messages, and as many to be timed as one likes.
pub struct Work {
    pub kind: Kind,
    pub env: String,
    form: Value,
    item: Value,
    owner: String,
    accounts: Vec<String>,
}

impl Work {
    pub fn new(kind: Kind) -> Self {
        let run = modules::vectors()["runs"][0].clone();
        let step =
            |index: usize| -> Value { serde_json::from_str(run["steps"][index]["msgJSON"].as_str().unwrap()).unwrap() };
        let form = step(1);
        let owner = form["Owner"].as_str().unwrap().to_owned();
        let accounts = (0..if kind == Kind::Large { MANY } else { ACCOUNTS }).map(account).collect();
        Self { kind, env: run["envJSON"].as_str().unwrap().to_owned(), form, item: step(0), owner, accounts }
    }

    /// The messages that come before those that are timed. A module that is no Lua has its handlers built in.
    pub fn setup(&self, lua: bool) -> Vec<String> {
        let mut all = vec![self.item.to_string()];
        if lua {
            all.push(self.message(1, &self.owner, &[("Action", "Eval")], self.kind.lua()));
        }
        if matches!(self.kind, Kind::Token | Kind::Large) {
            for part in self.accounts.chunks(AT_ONCE) {
                let balances: serde_json::Map<String, Value> =
                    part.iter().map(|account| (account.clone(), json!("1000000000000000000000"))).collect();
                let data = Value::Object(balances).to_string();
                all.push(self.message(all.len(), &self.owner, &[("Action", "Airdrop")], &data));
            }
        }
        all
    }

    /// Messages `from` until `from + count` of those that are timed.
    pub fn timed(&self, from: usize, count: usize) -> Vec<String> {
        (from..from + count).map(|number| self.one(number)).collect()
    }

    fn one(&self, number: usize) -> String {
        let sender = self.account(number * 7);
        match self.kind {
            Kind::Ping => self.message(100 + number, sender, &[("Action", "Ping")], "ping"),
            Kind::Big => {
                // Text as people write it: some of it has to be escaped.
                let data = "Says \"how long\" it is,\n100 KiB of this. ".repeat(BIG / 40 + 1);
                self.message(100 + number, sender, &[("Action", "Length")], &data[..BIG])
            }
            Kind::Token | Kind::Large => {
                let quantity = (1_000_000_000_000_u64 + number as u64).to_string();
                let to = self.account(number * 11 + 3);
                let tags = [("Action", "Transfer"), ("Recipient", to), ("Quantity", &quantity)];
                self.message(100 + number, sender, &tags, "")
            }
        }
    }

    fn account(&self, number: usize) -> &str {
        &self.accounts[(number * 97) % self.accounts.len()]
    }

    fn message(&self, nonce: usize, from: &str, tags: &[(&str, &str)], data: &str) -> String {
        let mut message = self.form.clone();
        let tag = |(name, value): &(&str, &str)| json!({"name": name, "value": value});
        let mut all: Vec<Value> = tags.iter().map(tag).collect();
        all.extend([("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", "Message")].iter().map(tag));
        message["Id"] = Id::sha256(format!("message {nonce}").as_bytes()).to_string().into();
        message["From"] = from.into();
        message["Owner"] = from.into();
        message["Tags"] = all.into();
        message["Data"] = data.into();
        message["Nonce"] = nonce.into();
        message["Timestamp"] = (1_735_689_602_000_u64 + nonce as u64).into();
        message.to_string()
    }
}

/// An address: 43 characters that do not collide in Lua's hash.
fn account(number: usize) -> String {
    Id::sha256(format!("account {number}").as_bytes()).to_string()
}
