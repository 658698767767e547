//! `weft completions`: what makes the Tab key work.

use clap::Args;
use clap_complete::Shell;
use serde_json::json;

use super::exit::{CliResult, Done};

/// `weft completions SHELL`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  weft completions bash > ~/.local/share/bash-completion/completions/weft
  weft completions zsh  > ~/.zfunc/_weft
  weft completions fish > ~/.config/fish/completions/weft.fish")]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> CliResult<Done> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::command(), "weft", &mut script);
        let script = String::from_utf8_lossy(&script).trim_end().to_owned();
        let json = json!({ "shell": self.shell.to_string(), "script": script });
        Ok(Done::new(script, json))
    }
}
