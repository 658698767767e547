//! The functions of a module with what rewriting their bodies needs to know beside the code.
//!
//! Where it sits: read by the passes of [`super::rewrite`] that go through function bodies.

use wasmparser::{FunctionBody, Parser, Payload, ValType};

use super::{exceptions::broken, not_wasm};
use crate::compute::module::LoadError;

/// A function of the module (imports have none).
pub(super) struct Function<'a> {
    /// Number of its parameters, which are its first locals.
    pub(super) params: u32,
    /// What it gives.
    pub(super) gives: Gives,
    /// Locals and code.
    pub(super) body: FunctionBody<'a>,
}

/// What a function gives, as far as a block can say it without a type of its own.
#[derive(Clone, Copy)]
pub(super) enum Gives {
    Nothing,
    One(ValType),
    More,
}

impl Function<'_> {
    /// Locals that the function has, parameters included: the index of the next.
    pub(super) fn locals(&self) -> Result<u32, LoadError> {
        let mut locals = self.params;
        for group in self.body.get_locals_reader().map_err(not_wasm)? {
            locals = locals.checked_add(group.map_err(not_wasm)?.0).ok_or_else(|| broken("too many locals"))?;
        }
        Ok(locals)
    }
}

/// The functions of the module, in order.
pub(super) fn functions(wasm: &[u8]) -> Result<Vec<Function<'_>>, LoadError> {
    let (mut signatures, mut types, mut functions) = (Vec::new(), Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(not_wasm)? {
            Payload::TypeSection(section) => {
                for ty in section.into_iter_err_on_gc_types() {
                    let ty = ty.map_err(not_wasm)?;
                    let gives = match ty.results() {
                        [] => Gives::Nothing,
                        [one] => Gives::One(*one),
                        _ => Gives::More,
                    };
                    signatures.push((u32::try_from(ty.params().len()).unwrap_or(u32::MAX), gives));
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    types.push(ty.map_err(not_wasm)?);
                }
            }
            Payload::CodeSectionEntry(body) => {
                let ty = *types.get(functions.len()).ok_or_else(|| broken("a function without a type"))?;
                let missing = || broken("a type that does not exist");
                let (params, gives) = *signatures.get(ty as usize).ok_or_else(missing)?;
                functions.push(Function { params, gives, body });
            }
            _ => {}
        }
    }
    Ok(functions)
}
