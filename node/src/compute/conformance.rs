//! Whether this machine evaluates as it must: small programs with known outcomes, and random ones that both compilers must
//! agree on.
//!
//! Where it sits: over [`super::Engine`]. A compute node runs [`check`] before it offers anything: a processor, a compiler or a
//! build that rounds, traps, counts or stores otherwise would have it sign wrong outcomes. `weft conformance` runs it by
//! hand; `.ci/run` compares what a development build and a release build print.
//!
//! What must come out is in `conformance/expected.txt`: a line a case with its fuel, the state root after it and its outcome.
//! A change of the environment (`config.rs`) changes that file; nothing else may.

use super::{Compilers, Engine, EngineConfig, EngineError, Evaluation, Instance, on_evaluation_stack};

mod corpus;
mod program;
mod random;

use program::Program;

/// What must come out of the corpus.
const EXPECTED: &str = include_str!("conformance/expected.txt");
/// Fuel of one case: what a program of a few steps never needs and an endless one uses up within milliseconds.
const FUEL: u64 = 1_000_000;
/// Memory of one program, in bytes.
const MEMORY: u64 = 1 << 20;

/// What came of one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Program and case.
    pub case: String,
    /// Fuel used.
    pub fuel: u64,
    /// State root after it.
    pub root: String,
    /// The answer, or the kind of failure and its text.
    pub outcome: String,
}

impl Observation {
    fn line(&self) -> String {
        format!("{}\t{}\t{}\t{}", self.case, self.fuel, self.root, self.outcome)
    }
}

/// This machine does not evaluate as it must.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConformanceError {
    /// A case came out otherwise.
    #[error(
        "{compiler}, case {case}: expected {expected}, got {got} (fuel, state root, outcome); this build must not evaluate \
         messages on this machine: check the processor and its memory, and that the program is an unchanged release"
    )]
    Different {
        /// Which compiler.
        compiler: &'static str,
        /// Program and case.
        case: String,
        /// What should have come out.
        expected: String,
        /// What came out.
        got: String,
    },
    /// The engine does not start.
    #[error("the corpus cannot be evaluated: {0}")]
    Engine(#[from] EngineError),
    /// A program of the corpus is refused.
    #[error("the corpus cannot be evaluated: program {program}: {reason}")]
    Program {
        /// Its name.
        program: String,
        /// Why.
        reason: String,
    },
    /// No thread to evaluate on.
    #[error("the corpus cannot be evaluated: no thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// The compilers that are compared, by the names that people see.
const COMPILERS: [(Compilers, &str); 2] =
    [(Compilers::Optimising, "optimising compiler"), (Compilers::BaselineOnly, "baseline compiler")];

/// Evaluates the corpus with both compilers: how many cases came out as they must.
///
/// # Errors
/// The first case that did not, or why it could not be evaluated.
pub fn check() -> Result<usize, ConformanceError> {
    check_against(EXPECTED)
}

fn check_against(expected: &str) -> Result<usize, ConformanceError> {
    let [left, right] = COMPILERS;
    // Side by side: a node waits for this when it starts.
    let (left, right) = std::thread::scope(|scope| {
        let beside = scope.spawn(|| compare(left, expected));
        let right = compare(right, expected);
        (beside.join(), right)
    });
    let left = left.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    right.map(|_| left)
}

fn compare((compilers, compiler): (Compilers, &'static str), expected: &str) -> Result<usize, ConformanceError> {
    let found = corpus(compilers)?;
    let mut lines = expected.lines();
    for observation in &found {
        let (line, wanted) = (observation.line(), lines.next().unwrap_or_default());
        if line != wanted {
            let case = observation.case.clone();
            let (expected, got) = (after_name(wanted, &case), after_name(&line, &case));
            return Err(ConformanceError::Different { compiler, case, expected, got });
        }
    }
    match lines.next() {
        None => Ok(found.len()),
        Some(left) => Err(ConformanceError::Different {
            compiler,
            case: left.split('\t').next().unwrap_or_default().to_owned(),
            expected: left.to_owned(),
            got: "nothing: the corpus has no such case".to_owned(),
        }),
    }
}

fn after_name(line: &str, case: &str) -> String {
    line.strip_prefix(case).unwrap_or(line).trim().replace('\t', " ")
}

/// What comes of each case of the corpus, in order, with these compilers.
///
/// # Errors
/// A program could not be evaluated at all.
pub fn corpus(compilers: Compilers) -> Result<Vec<Observation>, ConformanceError> {
    let engine = engine(compilers)?;
    on_evaluation_stack(|| {
        let mut found = Vec::new();
        for program in corpus::programs() {
            found.extend(observe(&engine, &program)?);
        }
        Ok(found)
    })?
}

/// What comes of `count` random programs, each with a log of several messages, on the optimising compiler; checked against
/// the baseline compiler. The same seed gives the same programs everywhere.
///
/// # Errors
/// The first program whose evaluation differs, or that could not be evaluated.
pub fn random(seed: u64, count: u32) -> Result<Vec<Observation>, ConformanceError> {
    let [(left, _), (right, compiler)] = COMPILERS;
    let (left, right) = (engine(left)?, engine(right)?);
    on_evaluation_stack(|| {
        let mut found = Vec::new();
        for number in 0..count {
            let program = random::program(seed, number);
            let (expected, got) = (observe(&left, &program)?, observe(&right, &program)?);
            for (expected, got) in expected.iter().zip(&got) {
                if expected != got {
                    let case = format!("{} (seed {seed})", expected.case);
                    let (expected, got) = (after_name(&expected.line(), ""), after_name(&got.line(), ""));
                    return Err(ConformanceError::Different { compiler, case, expected, got });
                }
            }
            found.extend(expected);
        }
        Ok(found)
    })?
}

/// The corpus's own limits, whatever those of a network are.
fn engine(compilers: Compilers) -> Result<Engine, EngineError> {
    let mut config = EngineConfig::new("");
    config.max_cache_bytes = 0;
    config.fuel_per_slot = FUEL;
    config.max_memory_bytes = MEMORY;
    config.compilers = compilers;
    Engine::new(config)
}

/// What comes of each message of a program, in order.
fn observe(engine: &Engine, program: &Program) -> Result<Vec<Observation>, ConformanceError> {
    let unable = |reason: String| ConformanceError::Program { program: program.name.clone(), reason };
    let wasm = wat::parse_str(&program.text).map_err(|error| unable(error.to_string()))?;
    let module = engine.load(&wasm, program.format).map_err(|error| unable(error.to_string()))?;
    let mut instance = Instance::new(&module).map_err(|error| unable(error.to_string()))?;
    let mut found = Vec::with_capacity(program.cases.len());
    for (number, case) in program.cases.iter().enumerate() {
        let Evaluation { result, fuel, .. } = instance.apply(&format!("{{\"n\":{number:02}}}"), "{}");
        let outcome = match result {
            Ok(answer) => answer.get("Output").and_then(|output| output.as_str()).unwrap_or_default().to_owned(),
            Err(error) => format!("{:?}: {}", error.kind, error.message),
        };
        let root = instance.root().map_err(|error| unable(error.to_string()))?.to_string();
        found.push(Observation { case: format!("{}: {case}", program.name), fuel, root, outcome });
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
