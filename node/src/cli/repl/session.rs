//! One conversation with a process: Lua goes out as signed `Eval` messages, results come back.
//!
//! Where it sits: below the console (`repl.rs`), above the client.

use std::time::Duration;

use serde_json::{Value, json};
use weft_protocol::{Id, ans104::Signer};

use crate::cli::{
    client::Client,
    exit::{CliError, CliResult, Exit},
    item, process, progress, table,
};

/// Who talks to which process.
pub(super) struct Session {
    client: Client,
    signer: Box<dyn Signer>,
    process: Id,
    timeout: Duration,
}

/// What came of one piece of Lua.
pub(super) struct Evaluated {
    input: String,
    message: Id,
    signer: String,
    answer: Value,
}

impl Session {
    pub(super) fn new(client: Client, signer: Box<dyn Signer>, process: Id, timeout: Duration) -> Self {
        Self { client, signer, process, timeout }
    }

    pub(super) fn process(&self) -> Id {
        self.process
    }

    /// The prompt of the newest result that has one, else `called> `.
    pub(super) async fn prompt(&self, called: &str) -> CliResult<String> {
        let query = [("limit", "1".to_owned()), ("sort", "DESC".to_owned())];
        let path = format!("/results/{}", self.process);
        let newest = progress::during("waiting for the process", self.client.get(&path, &query)).await?;
        let prompt = newest.pointer("/edges/0/node").and_then(prompt_of);
        Ok(prompt.unwrap_or_else(|| format!("{}> ", table::printable(called))))
    }

    /// Has `code` ordered and waits for its result. Ctrl-C ends the wait, not the message.
    pub(super) async fn evaluate(&self, code: &str) -> CliResult<Evaluated> {
        let tags = [("Action".to_owned(), "Eval".to_owned())];
        // Lua's own console takes `= x` for `return x`.
        let lua = code.trim_start().strip_prefix('=').map_or_else(|| code.to_owned(), |rest| format!("return {rest}"));
        let item = item::sign(self.signer.as_ref(), "Message", Some(self.process), &tags, &[], lua.into_bytes())?;
        let work = async {
            self.client.submit(item.raw().clone()).await?;
            self.client.result(self.process, item.id(), self.timeout).await
        };
        let answer = tokio::select! {
            answer = progress::during("waiting for the result", work) => answer?,
            _ = tokio::signal::ctrl_c() => return Err(CliError::new(Exit::Interrupted, "stopped waiting")
                .fix(format!("the message is ordered; its result: weft process result {} {}", self.process, item.id()))),
        };
        Ok(Evaluated { input: code.to_owned(), message: item.id(), signer: self.signer.signer_address(), answer })
    }
}

impl Evaluated {
    /// The process's error in words, or why it evaluated nothing.
    pub(super) fn error(&self) -> Option<String> {
        process::error_of(&self.answer).or_else(|| process::not_evaluated(&self.answer, &self.signer))
    }

    /// What it printed and returned.
    pub(super) fn output(&self) -> Option<String> {
        process::output_of(&self.answer)
    }

    /// The prompt that the process wants from now on.
    pub(super) fn prompt(&self) -> Option<String> {
        prompt_of(&self.answer)
    }

    /// For `--json`.
    pub(super) fn into_json(self) -> Value {
        let (output, error) = (self.output(), self.error());
        json!({ "input": self.input, "message": self.message, "output": output, "error": error, "result": self.answer })
    }
}

/// `Output.prompt`, or where old aos modules have it.
fn prompt_of(result: &Value) -> Option<String> {
    let output = result.get("Output")?;
    let prompt = output.get("prompt").or_else(|| output.pointer("/data/prompt"))?.as_str()?;
    let prompt = table::printable(prompt).replace(['\n', '\t'], " ");
    (!prompt.trim().is_empty()).then_some(prompt)
}
