//! The JSON of a transaction in Arweave's HTTP API: base64url for bytes, decimal text for numbers.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeStruct as _};

use super::{
    Format, Transaction, TransactionError, TxTag,
    transaction::{Content, MAX_TAGS},
};
use crate::{Id, b64};

/// Everything but data and money. Unknown fields are ignored (arweave-js sends `data_tree`).
#[derive(Deserialize)]
struct Json {
    format: u8,
    #[serde(default)]
    id: String,
    #[serde(default)]
    last_tx: String,
    owner: String,
    #[serde(default)]
    tags: Vec<JsonTag>,
    signature: String,
    #[serde(flatten)]
    money: JsonMoney,
    #[serde(flatten)]
    data: JsonData,
}

#[derive(Deserialize)]
struct JsonMoney {
    #[serde(default)]
    target: String,
    #[serde(default)]
    quantity: Option<Number>,
    #[serde(default)]
    reward: Option<Number>,
    #[serde(default)]
    denomination: Option<Number>,
}

#[derive(Deserialize)]
struct JsonData {
    #[serde(default)]
    data: String,
    #[serde(default)]
    data_size: Option<Number>,
    #[serde(default)]
    data_root: String,
}

/// Decimal text; some clients send a JSON number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Text(String),
    Plain(u64),
}

#[derive(Serialize, Deserialize)]
struct JsonTag {
    name: String,
    value: String,
}

fn bad(field: &'static str, reason: &'static str) -> TransactionError {
    TransactionError::Field { field, reason }
}

fn bytes(field: &'static str, text: &str) -> Result<Vec<u8>, TransactionError> {
    b64::decode(text).ok_or(bad(field, "not base64url without padding"))
}

fn optional_id(field: &'static str, text: &str) -> Result<Option<Id>, TransactionError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| bad(field, "must be empty or 32 bytes as base64url"))
}

fn number(field: &'static str, number: Option<&Number>) -> Result<u128, TransactionError> {
    let text = match number {
        None => return Ok(0),
        Some(Number::Plain(number)) => return Ok(u128::from(*number)),
        Some(Number::Text(text)) => text,
    };
    // The text is what is signed, so a number must have one text only.
    let canonical = text == "0" || (text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0'));
    let value = canonical.then(|| text.parse().ok()).flatten();
    value.ok_or(bad(field, "must be a decimal number without sign or leading zeros"))
}

impl Json {
    fn tags(&self) -> Result<Vec<TxTag>, TransactionError> {
        if self.tags.len() > MAX_TAGS {
            return Err(TransactionError::Tags { count: self.tags.len(), bytes: 0 });
        }
        let tag = |tag: &JsonTag| Ok(TxTag { name: bytes("tags", &tag.name)?, value: bytes("tags", &tag.value)? });
        self.tags.iter().map(tag).collect()
    }

    fn content(&self, format: Format) -> Result<Content, TransactionError> {
        let body = bytes("data", &self.data.data)?;
        let size = match (&self.data.data_size, format) {
            (None, Format::One) => body.len() as u64,
            (None, Format::Two) => return Err(bad("data_size", "missing")),
            (size, _) => u64::try_from(number("data_size", size.as_ref())?)
                .map_err(|_| bad("data_size", "larger than anything"))?,
        };
        Ok(Content { size, root: optional_id("data_root", &self.data.data_root)?, body: body.into() })
    }

    fn transaction(&self) -> Result<Transaction, TransactionError> {
        let format = match self.format {
            1 => Format::One,
            2 => Format::Two,
            _ => return Err(bad("format", "must be 1 or 2")),
        };
        let last_tx = bytes("last_tx", &self.last_tx)?;
        if !matches!(last_tx.len(), 0 | 32 | 48) {
            return Err(bad("last_tx", "must be empty or 32 or 48 bytes"));
        }
        let denomination = number("denomination", self.money.denomination.as_ref())?;
        let transaction = Transaction {
            format,
            denomination: u32::try_from(denomination).map_err(|_| bad("denomination", "too large"))?,
            last_tx,
            owner: bytes("owner", &self.owner)?,
            tags: self.tags()?,
            target: optional_id("target", &self.money.target)?,
            quantity: number("quantity", self.money.quantity.as_ref())?,
            reward: number("reward", self.money.reward.as_ref())?,
            content: self.content(format)?,
            signature: bytes("signature", &self.signature)?,
        };
        if let Some(said) = optional_id("id", &self.id)?.filter(|said| *said != transaction.id()) {
            return Err(TransactionError::WrongId { said, found: transaction.id() });
        }
        Ok(transaction)
    }
}

impl Transaction {
    /// Reads the JSON of a transaction. The signature is not looked at: see [`Transaction::verify`].
    ///
    /// # Errors
    /// [`TransactionError`] naming the field that is wrong; text that is no such JSON counts as field `json`.
    pub fn from_json(json: &[u8]) -> Result<Self, TransactionError> {
        let json: Json = serde_json::from_slice(json).map_err(|_| {
            bad("json", "not a JSON object with format, owner, signature and the other fields of a transaction")
        })?;
        json.transaction()
    }
}

impl<'de> Deserialize<'de> for Transaction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Json::deserialize(deserializer)?.transaction().map_err(de::Error::custom)
    }
}

impl Serialize for Transaction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let id_text = |id: Option<Id>| id.map(|id| id.to_string()).unwrap_or_default();
        let tag = |tag: &TxTag| JsonTag { name: b64::encode(&tag.name), value: b64::encode(&tag.value) };
        let denominated = usize::from(self.denomination > 0);
        let mut json = serializer.serialize_struct("Transaction", 12 + denominated)?;
        json.serialize_field("format", &if self.format == Format::One { 1 } else { 2 })?;
        json.serialize_field("id", &self.id())?;
        json.serialize_field("last_tx", &b64::encode(&self.last_tx))?;
        json.serialize_field("owner", &b64::encode(&self.owner))?;
        json.serialize_field("tags", &self.tags.iter().map(tag).collect::<Vec<_>>())?;
        json.serialize_field("target", &id_text(self.target))?;
        json.serialize_field("quantity", &self.quantity.to_string())?;
        json.serialize_field("data", &b64::encode(&self.content.body))?;
        json.serialize_field("data_size", &self.content.size.to_string())?;
        json.serialize_field("data_root", &id_text(self.content.root))?;
        json.serialize_field("reward", &self.reward.to_string())?;
        if denominated > 0 {
            json.serialize_field("denomination", &self.denomination.to_string())?;
        }
        json.serialize_field("signature", &b64::encode(&self.signature))?;
        json.end()
    }
}
