//! `weft conformance`: whether this machine evaluates as every other.

use clap::Args;
use serde_json::{Value, json};

use super::{
    exit::{CliError, CliResult, Done, Exit},
    progress,
    table::Table,
};
use crate::compute::{
    Compilers,
    conformance::{self, ConformanceError, Observation},
};

/// `weft conformance`.
#[derive(Args, Debug)]
#[command(after_help = "\
Evaluates a corpus of small programs with known outcomes (a compute node does that whenever it starts), then random
programs, each with a log of several messages, on the optimising and on the baseline compiler. What --json prints has
nothing in it that depends on the machine or the build: two of them that agree print the same bytes.

Examples:
  weft conformance
  weft conformance --json --seed 1 --cases 500 > here.json")]
pub struct Conformance {
    /// Which random programs
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
    /// How many of them, at most 100000
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    cases: u32,
}

impl Conformance {
    pub(super) async fn run(self) -> CliResult<Done> {
        let Self { seed, cases } = self;
        let work = tokio::task::spawn_blocking(move || evaluate(seed, cases));
        let evaluated = progress::during("evaluating", work).await;
        let (corpus, random) = evaluated.map_err(|e| CliError::new(Exit::Failed, e))?.map_err(|error| {
            let fix = "do not run a compute node with this build on this machine; say what it printed to its makers";
            CliError::new(Exit::Failed, error).fix(fix)
        })?;
        let (corpus, random) = (shown(&corpus), shown(&random));
        let digest = blake3::hash(json!([corpus, random]).to_string().as_bytes()).to_hex();
        let count = |part: &Value| part.as_array().map_or(0, Vec::len).to_string();
        let mut table = Table::pairs();
        table.row(["corpus", &format!("{} cases", count(&corpus))]);
        table.row(["random", &format!("{} messages to {cases} programs of seed {seed}", count(&random))]);
        table.row(["digest", digest.as_str()]);
        let text = format!("Everything came out as it must, on both compilers.\n\n{}", table.text());
        let random = json!({ "seed": seed, "cases": cases, "messages": random });
        Ok(Done::new(text, json!({ "digest": digest.as_str(), "corpus": corpus, "random": random })))
    }
}

fn evaluate(seed: u64, cases: u32) -> Result<(Vec<Observation>, Vec<Observation>), ConformanceError> {
    conformance::check()?;
    Ok((conformance::corpus(Compilers::Optimising)?, conformance::random(seed, cases)?))
}

fn shown(observations: &[Observation]) -> Value {
    let one = |seen: &Observation| json!({ "case": seen.case, "fuel": seen.fuel, "root": seen.root, "outcome": seen.outcome });
    observations.iter().map(one).collect()
}
