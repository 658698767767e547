//! Where the console's lines come from: a line editor with history, or a pipe.
//!
//! Where it sits: `repl.rs` reads from here. Reading blocks, so it happens on a thread of its own, and the source goes
//! there and back.

use std::{io::BufRead as _, path::PathBuf, sync::atomic::Ordering};

use rustyline::{
    Completer, Editor, Helper, Highlighter, Hinter,
    error::ReadlineError,
    history::FileHistory,
    validate::{ValidationContext, ValidationResult, Validator},
};

use super::{feed::Rows, lua};
use crate::cli::exit::{CliError, CliResult, Exit};

/// Lines kept in the history file.
const HISTORY: usize = 1_000;
/// Most bytes of one piece of Lua from a pipe.
const MAX_INPUT: usize = 4 << 20;

/// One thing that was typed.
pub(super) enum Line {
    /// Complete Lua, or Lua that ends early because the input did.
    Lua(String),
    /// A line that begins with a dot.
    Command(String),
    /// The end of the input.
    End,
}

/// A source of lines.
pub(super) enum Input {
    /// A person at a terminal.
    Terminal(Box<Terminal>),
    /// A script.
    Pipe,
}

/// The line editor and its history.
pub(super) struct Terminal {
    editor: Editor<Whole, FileHistory>,
    history: Option<PathBuf>,
    rows: Rows,
}

/// Goes on on the next line while Lua is not complete.
#[derive(Completer, Helper, Highlighter, Hinter)]
struct Whole {
    rows: Rows,
}

impl Validator for Whole {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let input = context.input();
        let open = !is_command(input) && lua::is_open(input);
        let rows = if open { input.lines().count() } else { 0 };
        self.rows.store(rows, Ordering::Relaxed);
        Ok(if open { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

/// Lua has no statement that begins with a dot and a letter.
fn is_command(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with('.') && line.get(1..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()))
}

impl Input {
    /// The line editor, with the history of earlier sessions.
    pub(super) fn terminal() -> CliResult<Self> {
        let config = rustyline::Config::builder()
            .max_history_size(HISTORY)
            .and_then(|config| config.history_ignore_dups(true))
            .map_err(|e| broken(&e))?
            .auto_add_history(true)
            .build();
        let mut editor = Editor::with_config(config).map_err(|e| broken(&e))?;
        let rows = Rows::default();
        editor.set_helper(Some(Whole { rows: Rows::clone(&rows) }));
        let history = history_file();
        if let Some(file) = &history {
            // The first session has none.
            let _ = editor.load_history(file);
        }
        Ok(Self::Terminal(Box::new(Terminal { editor, history, rows })))
    }

    /// Standard input, without prompts.
    pub(super) fn pipe() -> Self {
        Self::Pipe
    }

    /// How much is being edited; `None` if there is no editor.
    pub(super) fn rows(&self) -> Option<Rows> {
        match self {
            Self::Terminal(terminal) => Some(Rows::clone(&terminal.rows)),
            Self::Pipe => None,
        }
    }

    /// Waits for the next line.
    pub(super) async fn read(mut self, prompt: String) -> CliResult<(Self, Line)> {
        let read = tokio::task::spawn_blocking(move || {
            let line = match &mut self {
                Self::Terminal(terminal) => terminal.line(&prompt),
                Self::Pipe => from_pipe(),
            };
            line.map(|line| (self, line))
        });
        read.await.map_err(|e| CliError::new(Exit::Failed, format!("the console ended: {e}")))?
    }
}

impl Terminal {
    fn line(&mut self, prompt: &str) -> CliResult<Line> {
        loop {
            self.rows.store(0, Ordering::Relaxed);
            let line = match self.editor.readline(prompt) {
                Ok(line) => line,
                Err(ReadlineError::Interrupted) => continue,
                Err(ReadlineError::Eof) => return Ok(Line::End),
                Err(e) => return Err(broken(&e)),
            };
            self.keep_history();
            match line.trim() {
                "" => {}
                ".editor" => {
                    if let Some(code) = self.editor_mode()? {
                        return Ok(Line::Lua(code));
                    }
                }
                command if is_command(command) => return Ok(Line::Command(command.to_owned())),
                _ => return Ok(Line::Lua(line)),
            }
        }
    }

    /// Lines as they are until `.done`; nothing after `.cancel` or Ctrl-C.
    fn editor_mode(&mut self) -> CliResult<Option<String>> {
        let mut code = String::new();
        self.editor.set_helper(None);
        let read = loop {
            match self.editor.readline("… ") {
                Ok(line) if line.trim() == ".done" => break Ok(Some(code)),
                Ok(line) if line.trim() == ".cancel" => break Ok(None),
                Ok(line) => {
                    code.push_str(&line);
                    code.push('\n');
                }
                Err(ReadlineError::Eof) => break Ok(Some(code)),
                Err(ReadlineError::Interrupted) => break Ok(None),
                Err(e) => break Err(broken(&e)),
            }
        };
        self.editor.set_helper(Some(Whole { rows: Rows::clone(&self.rows) }));
        read.map(|code| code.filter(|code| !code.trim().is_empty()))
    }

    /// History is a comfort: a disk that refuses it is no reason to stop.
    fn keep_history(&mut self) {
        if let Some(file) = &self.history {
            let _ = self.editor.save_history(file);
        }
    }
}

/// The next complete piece of Lua, or command, of standard input.
fn from_pipe() -> CliResult<Line> {
    let mut stdin = std::io::stdin().lock();
    let mut code = String::new();
    loop {
        let before = code.len();
        let read = stdin.read_line(&mut code).map_err(|e| {
            CliError::new(Exit::Failed, format!("cannot read the input: {e}")).fix("the input has to be UTF-8 text")
        })?;
        let editing = code.trim_start().starts_with(".editor");
        let added = code.get(before..).unwrap_or_default().trim();
        if code.len() > MAX_INPUT {
            return Err(CliError::new(Exit::Usage, format!("one piece of Lua is larger than {MAX_INPUT} bytes"))
                .fix("split it, or look for a block or string that is never closed"));
        }
        match (read, editing) {
            (0, _) if code.trim().is_empty() => return Ok(Line::End),
            (0, false) => return Ok(Line::Lua(code)),
            (0, true) => return Ok(Line::Lua(without_editor(&code))),
            (_, true) if added == ".done" => return Ok(Line::Lua(without_editor(&code))),
            (_, true) if added == ".cancel" => code.clear(),
            (_, true) => {}
            _ if code.trim().is_empty() => code.clear(),
            _ if is_command(&code) => return Ok(Line::Command(code.trim().to_owned())),
            _ if !lua::is_open(&code) => return Ok(Line::Lua(code)),
            _ => {}
        }
    }
}

/// The lines between `.editor` and `.done`.
fn without_editor(code: &str) -> String {
    let lines = code.lines().filter(|line| !matches!(line.trim(), ".editor" | ".done"));
    lines.collect::<Vec<_>>().join("\n")
}

fn history_file() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("HOME").filter(|home| !home.is_empty())?).join(".weft");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("history"))
}

fn broken(error: &ReadlineError) -> CliError {
    CliError::new(Exit::Failed, format!("the terminal does not work as a console: {error}"))
        .fix("send the Lua through a pipe: weft repl PROCESS < file.lua")
}

#[cfg(test)]
mod tests;
