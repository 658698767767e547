//! Turns a module with a 64-bit memory into one with a 32-bit memory that does exactly the same. Memories have at most 4 GiB
//! here, so an address of 2^32 or more is out of bounds in both; what the pass adds is the test that an address has no upper
//! half. An engine reserves 4 GiB and a guard for a 32-bit memory and needs no test of its own, which costs a 64-bit memory
//! about 40 % (it compares each address with a bound, and selects once more against speculation).
//!
//! Addresses stay 64-bit numbers in locals, parameters and memory: nothing that the module or the host sees has another
//! type. Each access becomes
//!
//! ```text
//! the address; cut to 32 bits; if it is not what it was: trap; access
//! ```
//!
//! and the test is left out where it was made before on every way to the access ([`facts`]). The trap is an access that is
//! always out of bounds, so the message that fails says what it would have said.
//!
//! Where it sits: behind the passes that count ([`super::rewrite`]), so that none of this costs fuel or call depth.

mod body;
mod facts;

use wasmparser::{ConstExpr, DataKind, DataSectionReader, MemoryType, Operator, Parser, Payload, TypeRef, ValType};

use super::{
    binary::{self, Binary, write_leb},
    bodies::functions,
    exceptions::broken,
    not_wasm,
};
use crate::compute::module::LoadError;

/// Most pages of a memory with 32-bit addresses.
const MAX_PAGES: u64 = 65_536;
/// The first address that no memory here has.
const END_OF_ADDRESSES: u64 = 1 << 32;
/// Most new bytes for each byte of the code section.
const MAX_GROWTH: usize = 8;
const I32_CONST: u8 = 0x41;
const END: u8 = 0x0b;

/// What the bodies need to know of the module.
#[derive(Default)]
pub(super) struct Module {
    /// Numbers of parameters and results of each type.
    types: Vec<(usize, usize)>,
    /// Type of each function, the imported first.
    functions: Vec<u32>,
    imported_memory: bool,
    memories: Vec<MemoryType>,
    /// The value of each global that is a constant integer, the imported first.
    globals: Vec<Option<u64>>,
}

impl Module {
    /// Numbers of parameters and results of a function.
    pub(super) fn arity_of(&self, function: u32) -> Option<(usize, usize)> {
        self.arity_of_type(*self.functions.get(function as usize)?)
    }

    pub(super) fn arity_of_type(&self, ty: u32) -> Option<(usize, usize)> {
        self.types.get(ty as usize).copied()
    }
}

/// `wasm` with a 32-bit memory; `None` if it has no 64-bit one.
pub(super) fn narrow(wasm: &[u8]) -> Result<Option<Vec<u8>>, LoadError> {
    let (module, data) = read(wasm)?;
    let memory = match module.memories.as_slice() {
        [memory] if memory.memory64 && !module.imported_memory => *memory,
        _ => return Ok(None),
    };
    let mut binary = Binary::parse(wasm)?;
    binary.replace(binary::MEMORIES, memories(memory)?);
    if let Some(data) = data {
        binary.replace(binary::DATA, segments(&module, memory, data)?);
    }
    let functions = functions(wasm)?;
    let code: usize = functions.iter().map(|function| function.body.range().len()).sum();
    let mut section = Vec::with_capacity(code + code / 2);
    write_leb(&mut section, functions.len() as u32);
    for function in &functions {
        let raw = wasm.get(function.body.range()).ok_or_else(|| broken("bytes that are not there"))?;
        let new = body::narrow(&module, function, wasm)?;
        let new = new.as_deref().unwrap_or(raw);
        write_leb(&mut section, new.len() as u32);
        section.extend_from_slice(new);
        if section.len() > code.saturating_mul(MAX_GROWTH).saturating_add(1 << 20) {
            return Err(LoadError::Unsupported("more accesses to its 64-bit memory than other code".to_owned()));
        }
    }
    binary.replace(binary::CODE, section);
    Ok(Some(binary.encode()))
}

/// What bodies need to know of the module, and its data segments.
pub(super) fn read(wasm: &[u8]) -> Result<(Module, Option<DataSectionReader<'_>>), LoadError> {
    let (mut module, mut data) = (Module::default(), None);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(not_wasm)? {
            // Types of other kinds need an engine with garbage collection: it will say so itself.
            Payload::TypeSection(section) => {
                for ty in section.into_iter_err_on_gc_types() {
                    let ty = ty.map_err(not_wasm)?;
                    module.types.push((ty.params().len(), ty.results().len()));
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    match import.map_err(not_wasm)?.ty {
                        TypeRef::Func(ty) | TypeRef::FuncExact(ty) => module.functions.push(ty),
                        TypeRef::Global(_) => module.globals.push(None),
                        TypeRef::Memory(_) => module.imported_memory = true,
                        _ => {}
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    module.functions.push(ty.map_err(not_wasm)?);
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    module.memories.push(memory.map_err(not_wasm)?);
                }
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    let global = global.map_err(not_wasm)?;
                    let fixed = !global.ty.mutable && global.ty.content_type == ValType::I64;
                    let value = if fixed { constant(&module, &global.init_expr)? } else { None };
                    module.globals.push(value);
                }
            }
            Payload::DataSection(section) => data = Some(section),
            _ => {}
        }
    }
    Ok((module, data))
}

/// The value of a constant 64-bit expression, if it is made of numbers.
fn constant(module: &Module, expression: &ConstExpr<'_>) -> Result<Option<u64>, LoadError> {
    let mut stack: Vec<u64> = Vec::new();
    for operator in expression.get_operators_reader() {
        let binary: fn(u64, u64) -> u64 = match operator.map_err(not_wasm)? {
            Operator::I64Const { value } => {
                stack.push(value.cast_unsigned());
                continue;
            }
            Operator::GlobalGet { global_index } => match module.globals.get(global_index as usize) {
                Some(Some(value)) => {
                    stack.push(*value);
                    continue;
                }
                _ => return Ok(None),
            },
            Operator::I64Add => u64::wrapping_add,
            Operator::I64Sub => u64::wrapping_sub,
            Operator::I64Mul => u64::wrapping_mul,
            Operator::End => break,
            _ => return Ok(None),
        };
        let (Some(right), Some(left)) = (stack.pop(), stack.pop()) else { return Ok(None) };
        stack.push(binary(left, right));
    }
    Ok(stack.pop())
}

/// The memory section.
fn memories(memory: MemoryType) -> Result<Vec<u8>, LoadError> {
    if memory.shared {
        return Err(LoadError::Unsupported("shared memory".to_owned()));
    }
    if memory.page_size_log2.is_some() {
        return Err(LoadError::Unsupported("memory pages of another size than 65536 bytes".to_owned()));
    }
    let initial = u32::try_from(memory.initial).ok().filter(|pages| u64::from(*pages) <= MAX_PAGES);
    let initial = initial
        .ok_or(LoadError::MemoryTooLarge { needs: memory.initial.saturating_mul(1 << 16), limit: END_OF_ADDRESSES })?;
    let mut section = vec![1, u8::from(memory.maximum.is_some())];
    write_leb(&mut section, initial);
    if let Some(maximum) = memory.maximum {
        write_leb(&mut section, maximum.min(MAX_PAGES) as u32);
    }
    Ok(section)
}

/// The data section.
fn segments(module: &Module, memory: MemoryType, data: DataSectionReader<'_>) -> Result<Vec<u8>, LoadError> {
    let mut section = Vec::new();
    write_leb(&mut section, data.count());
    for segment in data {
        let segment = segment.map_err(not_wasm)?;
        match segment.kind {
            DataKind::Passive => section.push(1),
            DataKind::Active { memory_index: 0, offset_expr } => {
                let place = constant(module, &offset_expr)?
                    .ok_or_else(|| LoadError::Unsupported("a data segment whose place is not a constant".to_owned()))?;
                let at_the_end = place == END_OF_ADDRESSES && segment.data.is_empty() && memory.initial == MAX_PAGES;
                let place = match u32::try_from(place) {
                    Ok(place) => place,
                    Err(_) if at_the_end => 0,
                    // It would trap when it is started, whatever comes before.
                    Err(_) => return Err(LoadError::Start(wasmtime::Trap::MemoryOutOfBounds.to_string())),
                };
                section.extend_from_slice(&[0, I32_CONST]);
                write_integer(&mut section, i64::from(place.cast_signed()));
                section.push(END);
            }
            DataKind::Active { .. } => return Err(broken("a memory that does not exist")),
        }
        write_leb(&mut section, u32::try_from(segment.data.len()).unwrap_or(u32::MAX));
        section.extend_from_slice(segment.data);
    }
    Ok(section)
}

/// Writes a signed LEB128 number.
fn write_integer(out: &mut Vec<u8>, mut value: i64) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        // The last byte's sign bit is the number's.
        if (value == 0 && byte & 0x40 == 0) || (value == -1 && byte & 0x40 != 0) {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

#[cfg(test)]
mod tests;
