//! How a command ends: the documented exit codes and the error a person can act on.
//!
//! Where it sits: every command of `cli/` returns [`Done`] or [`CliError`]; `cli.rs` prints them.

use std::{fmt::Display, process::ExitCode};

use serde_json::{Value, json};

/// The exit codes of `weft`. They are part of the interface (`weft --help`, README): scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Ok,
    /// 1: tried, and refused or failed.
    Failed,
    /// 2: the command line, a file or a value it names is wrong; nothing was tried.
    Usage,
    /// 3: no such process, message, module or node.
    NotFound,
    /// 4: the node, or one it needs, does not answer.
    Unreachable,
    /// 5: not done within the time allowed; it may still happen.
    Timeout,
    /// 6: the message was ordered and evaluated, and the process answered with an error; or a replay differs from what was attested.
    Evaluation,
    /// 130: interrupted by Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Unreachable => 4,
            Self::Timeout => 5,
            Self::Evaluation => 6,
            Self::Interrupted => 130,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NotFound => "not-found",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Evaluation => "evaluation",
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// A failure that names the field, the value and the fix.
#[derive(Debug)]
pub struct CliError {
    /// How the program ends.
    pub exit: Exit,
    /// The option or argument at fault, as typed (`--wallet`, `PROCESS`).
    pub field: Option<String>,
    /// Its value.
    pub value: Option<String>,
    /// What is wrong.
    pub reason: String,
    /// What to do next.
    pub fix: Option<String>,
}

/// What every command returns on failure.
pub type CliResult<T> = Result<T, CliError>;

impl CliError {
    /// A failure with a reason only.
    pub fn new(exit: Exit, reason: impl Display) -> Self {
        Self { exit, field: None, value: None, reason: reason.to_string(), fix: None }
    }

    /// The value of an option or argument cannot be used.
    pub fn usage(field: impl Display, value: impl Display, reason: impl Display) -> Self {
        Self::new(Exit::Usage, reason).at(field, value)
    }

    /// Names the option or argument and its value.
    pub fn at(mut self, field: impl Display, value: impl Display) -> Self {
        self.field = Some(field.to_string());
        self.value = Some(value.to_string());
        self
    }

    /// Says what to do next.
    pub fn fix(mut self, fix: impl Display) -> Self {
        self.fix = Some(fix.to_string());
        self
    }

    /// The two or three lines for people.
    pub fn text(&self) -> String {
        let mut text = String::from("error: ");
        match (&self.field, &self.value) {
            (Some(field), Some(value)) => text.push_str(&format!("{field} {value:?}: ")),
            (Some(field), None) => text.push_str(&format!("{field}: ")),
            _ => {}
        }
        text.push_str(&self.reason);
        if let Some(fix) = &self.fix {
            text.push_str("\n  fix: ");
            text.push_str(fix);
        }
        text
    }

    /// The same for programs (`--json`, on stderr).
    pub fn json(&self) -> Value {
        json!({ "error": {
            "exit": self.exit.code(),
            "kind": self.exit.name(),
            "field": self.field,
            "value": self.value,
            "reason": self.reason,
            "fix": self.fix,
        }})
    }
}

/// What a command has to say when it went well, for people and for programs.
#[derive(Debug)]
pub struct Done {
    /// The lines for people, without the last newline.
    pub text: String,
    /// The next thing to type.
    pub next: Option<String>,
    /// The one document of `--json`.
    pub json: Value,
    /// [`Exit::Ok`], or [`Exit::Evaluation`] when the command worked and the process did not.
    pub exit: Exit,
    /// Everything was printed already.
    pub silent: bool,
}

impl Done {
    /// Text for people beside the document for programs.
    pub fn new(text: impl Into<String>, json: Value) -> Self {
        Self { text: text.into(), next: None, json, exit: Exit::Ok, silent: false }
    }

    /// Adds the next thing to type.
    pub fn next(mut self, command: impl Into<String>) -> Self {
        self.next = Some(command.into());
        self
    }

    /// Ends with another exit code than 0.
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Has nothing (more) to print.
    pub fn silent(mut self) -> Self {
        self.silent = true;
        self
    }
}
