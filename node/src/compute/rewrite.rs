//! What is changed in a module before it is compiled, so that old and new builds meet one engine and one host environment:
//! exception instructions become plain ones, calls that count gas go, minified names become readable, recursion is counted,
//! every NaN gets the same bits, fuel is paid, 64-bit memories become 32-bit ones, mutable globals become reachable. Pure
//! functions of the binary: every node compiles the same.
//!
//! Where it sits: called by [`super::prepare`](super::prepare::prepare) on bytes from anywhere, before anybody has validated
//! them; the engine validates what comes out.

mod binary;
mod bodies;
mod depth;
mod exceptions;
mod function;
mod meter;
mod names;
mod nan;
mod narrow;

use super::module::{LoadError, ModuleFormat};
use binary::Binary;

pub(crate) use depth::CALL_DEPTH;
pub(crate) use exceptions::IN_FLIGHT;
pub(crate) use meter::{FUEL, FUEL_TABLE, START};

/// The import by which metered builds count what they do. Fuel does that here, for every module alike.
const GAS: (&str, &str) = ("metering", "usegas");
/// Kind of an export that is a function.
const FUNCTION: u8 = 0;
/// Kind of an export that is a global.
const GLOBAL: u8 = 3;

/// `wasm` with the names that it would have if its build had not minified them; `None` if they were not.
pub(crate) fn readable(wasm: &[u8], format: ModuleFormat) -> Result<Option<Vec<u8>>, LoadError> {
    match format {
        ModuleFormat::Emscripten32Early => names::readable(wasm),
        _ => Ok(None),
    }
}

/// `wasm`, with readable names, as this engine compiles it. The order decides what fuel is paid for: what exceptions and
/// the count of recursion became is, what NaNs and the width of the memory need is not.
pub(crate) fn rewrite(wasm: &[u8]) -> Result<Vec<u8>, LoadError> {
    let lowered = exceptions::lower(wasm)?;
    let plain = lowered.as_deref().unwrap_or(wasm);
    let bounded = depth::bound(plain)?;
    let metered = meter::charge(bounded.as_deref().unwrap_or(plain))?;
    let canonical = nan::canonical(&metered)?.unwrap_or(metered);
    Ok(narrow::narrow(&canonical)?.unwrap_or(canonical))
}

/// `wasm` with these globals exported under the names beside them. A module without exports comes back as it is: it lacks
/// what every format needs and is refused for that later.
pub(crate) fn export_globals(wasm: &[u8], globals: &[(String, u32)]) -> Result<Vec<u8>, LoadError> {
    let mut binary = Binary::parse(wasm)?;
    if binary.has(binary::EXPORTS) {
        let entries: Vec<_> = globals.iter().map(|(name, index)| binary::export(name, GLOBAL, *index)).collect();
        binary.append(binary::EXPORTS, binary::GLOBALS, &entries)?;
    }
    Ok(binary.encode())
}

fn not_wasm(error: wasmparser::BinaryReaderError) -> LoadError {
    LoadError::NotWasm(error.to_string())
}

#[cfg(test)]
mod tests;
