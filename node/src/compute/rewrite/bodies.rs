//! The functions of a module with what rewriting their bodies needs to know beside the code.
//!
//! Where it sits: read by the passes of [`super::rewrite`] that go through function bodies.

use wasmparser::{FunctionBody, Parser, Payload};

use super::{exceptions::broken, not_wasm};
use crate::compute::module::LoadError;

/// A function of the module (imports have none).
pub(super) struct Function<'a> {
    /// Number of its parameters, which are its first locals.
    pub(super) params: u32,
    /// Locals and code.
    pub(super) body: FunctionBody<'a>,
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
    let (mut params, mut types, mut functions) = (Vec::new(), Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(not_wasm)? {
            Payload::TypeSection(section) => {
                for ty in section.into_iter_err_on_gc_types() {
                    params.push(u32::try_from(ty.map_err(not_wasm)?.params().len()).unwrap_or(u32::MAX));
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    types.push(ty.map_err(not_wasm)?);
                }
            }
            Payload::CodeSectionEntry(body) => {
                let ty = *types.get(functions.len()).ok_or_else(|| broken("a function without a type"))?;
                let params = *params.get(ty as usize).ok_or_else(|| broken("a type that does not exist"))?;
                functions.push(Function { params, body });
            }
            _ => {}
        }
    }
    Ok(functions)
}
