//! Gives every computed NaN the same bits, in the module itself: WebAssembly leaves sign and payload of a NaN that arithmetic
//! makes to the machine, and a process could look at them.
//!
//! After each operator whose result may be such a NaN comes `if the result is not equal to itself, take the canonical NaN`:
//!
//! ```text
//! local.tee $t, f64.const nan, local.get $t, local.get $t, f64.eq, select
//! ```
//!
//! and the same by lanes for vectors. It is left out where the next operator takes the result and gives the same for every
//! NaN: arithmetic (which is followed by the sequence itself), comparisons, conversions to integers. Operators that only
//! move a value or touch its sign (`abs`, `neg`, `copysign`, `pmin`, `pmax`) are defined to the bit and stay alone.
//!
//! Where it sits: behind everything in [`super::rewrite`] that counts operators, so that no fuel is charged for it.

use wasmparser::{FunctionBody, Operator, ValType};

use super::{
    binary::{self, Binary, write_leb},
    bodies::{self, Function},
    exceptions::broken,
    function::with_locals,
    not_wasm,
};
use crate::compute::module::LoadError;

const LOCAL_GET: u8 = 0x20;
const LOCAL_TEE: u8 = 0x22;
const SELECT: u8 = 0x1b;
/// Prefix of the vector operators.
const VECTOR: u8 = 0xfd;

/// Most new bytes for each byte of the module.
const MAX_GROWTH: usize = 8;

/// What kind of number an operator gives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lanes {
    F32,
    F64,
    F32x4,
    F64x2,
}

/// Locals of one function that hold a result while it is looked at, made when they are needed.
struct Scratch {
    next: u32,
    added: Vec<ValType>,
}

/// `wasm` with one NaN only; `None` if it computes none.
pub(super) fn canonical(wasm: &[u8]) -> Result<Option<Vec<u8>>, LoadError> {
    let functions = bodies::functions(wasm)?;
    let mut section = Vec::new();
    write_leb(&mut section, functions.len() as u32);
    let mut changed = false;
    for function in &functions {
        let new = canonical_body(function, wasm)?;
        changed |= new.is_some();
        let old = wasm.get(function.body.range()).ok_or_else(|| broken("bytes that are not there"))?;
        let new = new.as_deref().unwrap_or(old);
        write_leb(&mut section, new.len() as u32);
        section.extend_from_slice(new);
        if section.len() / MAX_GROWTH > wasm.len() {
            return Err(LoadError::Unsupported("hardly anything but arithmetic with fractions".to_owned()));
        }
    }
    if !changed {
        return Ok(None);
    }
    let mut binary = Binary::parse(wasm)?;
    binary.replace(binary::CODE, section);
    Ok(Some(binary.encode()))
}

/// The body with the sequences; `None` if it needs none.
fn canonical_body(function: &Function<'_>, wasm: &[u8]) -> Result<Option<Vec<u8>>, LoadError> {
    let body: &FunctionBody<'_> = &function.body;
    let mut operators = body.get_operators_reader().map_err(not_wasm)?;
    let first = operators.original_position();
    let (mut code, mut copied) = (Vec::new(), first);
    let mut scratch: Option<Scratch> = None;
    let mut open: Option<Lanes> = None;
    let bytes = |range: std::ops::Range<usize>| wasm.get(range).ok_or_else(|| broken("bytes that are not there"));
    while !operators.eof() {
        let here = operators.original_position();
        let operator = operators.read().map_err(not_wasm)?;
        if let Some(lanes) = open.take()
            && !same_for_every_nan(lanes, &operator)
        {
            code.extend_from_slice(bytes(copied..here)?);
            copied = here;
            let scratch = match &mut scratch {
                Some(scratch) => scratch,
                None => scratch.insert(Scratch { next: function.locals()?, added: Vec::new() }),
            };
            let local = scratch.local(lanes)?;
            replace_nan(&mut code, lanes, local);
        }
        open = computes(&operator);
    }
    let Some(scratch) = scratch else { return Ok(None) };
    code.extend_from_slice(bytes(copied..body.range().end)?);
    with_locals(bytes(body.range().start..first)?, &scratch.added, &code).map(Some)
}

impl Scratch {
    fn local(&mut self, lanes: Lanes) -> Result<u32, LoadError> {
        let ty = match lanes {
            Lanes::F32 => ValType::F32,
            Lanes::F64 => ValType::F64,
            Lanes::F32x4 | Lanes::F64x2 => ValType::V128,
        };
        let place = match self.added.iter().position(|added| *added == ty) {
            Some(place) => place,
            None => {
                self.added.push(ty);
                self.added.len() - 1
            }
        };
        self.next.checked_add(place as u32).ok_or_else(|| broken("too many locals"))
    }
}

fn replace_nan(code: &mut Vec<u8>, lanes: Lanes, local: u32) {
    let with_local = |code: &mut Vec<u8>, instruction: u8| {
        code.push(instruction);
        write_leb(code, local);
    };
    let (f32, f64) = (0x7fc0_0000_u32.to_le_bytes(), 0x7ff8_0000_0000_0000_u64.to_le_bytes());
    with_local(code, LOCAL_TEE);
    match lanes {
        Lanes::F32 => code.extend([&[0x43][..], &f32].concat()),
        Lanes::F64 => code.extend([&[0x44][..], &f64].concat()),
        Lanes::F32x4 => code.extend([&[VECTOR, 0x0c][..], &f32.repeat(4)].concat()),
        Lanes::F64x2 => code.extend([&[VECTOR, 0x0c][..], &f64.repeat(2)].concat()),
    }
    with_local(code, LOCAL_GET);
    with_local(code, LOCAL_GET);
    match lanes {
        Lanes::F32 => code.extend([0x5b, SELECT]),
        Lanes::F64 => code.extend([0x61, SELECT]),
        // v128.bitselect takes the first where the mask of the comparison is set.
        Lanes::F32x4 => code.extend([VECTOR, 0x41, VECTOR, 0x52]),
        Lanes::F64x2 => code.extend([VECTOR, 0x47, VECTOR, 0x52]),
    }
}

/// What the operator gives, if that may be a NaN whose bits WebAssembly leaves open.
fn computes(operator: &Operator<'_>) -> Option<Lanes> {
    use Operator::*;
    match operator {
        F32Ceil | F32Floor | F32Trunc | F32Nearest | F32Sqrt | F32Add | F32Sub | F32Mul | F32Div | F32Min | F32Max
        | F32DemoteF64 => Some(Lanes::F32),
        F64Ceil | F64Floor | F64Trunc | F64Nearest | F64Sqrt | F64Add | F64Sub | F64Mul | F64Div | F64Min | F64Max
        | F64PromoteF32 => Some(Lanes::F64),
        F32x4Ceil | F32x4Floor | F32x4Trunc | F32x4Nearest | F32x4Sqrt | F32x4Add | F32x4Sub | F32x4Mul | F32x4Div
        | F32x4Min | F32x4Max | F32x4DemoteF64x2Zero => Some(Lanes::F32x4),
        F64x2Ceil | F64x2Floor | F64x2Trunc | F64x2Nearest | F64x2Sqrt | F64x2Add | F64x2Sub | F64x2Mul | F64x2Div
        | F64x2Min | F64x2Max | F64x2PromoteLowF32x4 => Some(Lanes::F64x2),
        _ => None,
    }
}

/// Whether the operator, given such a result on top of the stack, gives the same for every NaN (or is followed by the
/// sequence). Vectors may be taken as others than they were made, so only the same kind will do.
fn same_for_every_nan(lanes: Lanes, operator: &Operator<'_>) -> bool {
    use Operator::*;
    let next = computes(operator);
    match lanes {
        Lanes::F32x4 | Lanes::F64x2 => next == Some(lanes),
        Lanes::F32 | Lanes::F64 if next.is_some() => true,
        Lanes::F32 => matches!(
            operator,
            F32Eq
                | F32Ne
                | F32Lt
                | F32Gt
                | F32Le
                | F32Ge
                | I32TruncF32S
                | I32TruncF32U
                | I64TruncF32S
                | I64TruncF32U
                | I32TruncSatF32S
                | I32TruncSatF32U
                | I64TruncSatF32S
                | I64TruncSatF32U
        ),
        Lanes::F64 => matches!(
            operator,
            F64Eq
                | F64Ne
                | F64Lt
                | F64Gt
                | F64Le
                | F64Ge
                | I32TruncF64S
                | I32TruncF64U
                | I64TruncF64S
                | I64TruncF64U
                | I32TruncSatF64S
                | I32TruncSatF64U
                | I64TruncSatF64S
                | I64TruncSatF64U
        ),
    }
}

#[cfg(test)]
mod tests;
