//! The `weft` program: a thin door to [`weft_node::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    weft_node::cli::run(std::env::args_os())
}
