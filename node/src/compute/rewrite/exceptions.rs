//! Turns the legacy exception instructions (`try`, `catch`, `catch_all`, `delegate`, `throw`, `rethrow`) into plain
//! branches and globals, so that modules with exceptions run on an engine without any.
//!
//! Why not the engine's exceptions: their objects live in a garbage-collected heap beside the linear memory, which no
//! snapshot holds, and the engine unwinds native frames for each throw. Here an exception in flight is two or more mutable
//! globals (state like any other): its tag's number plus one, and its values. A call that may throw is followed by a test
//! of the first global and a branch to the innermost handler; a function without handler returns. Code that does not
//! throw pays one load and one branch a call. All of it is a pure function of the binary, so every node runs the same code
//! and counts the same fuel.
//!
//! Where it sits: called by [`super::rewrite`] for modules with a tag section; [`super::function`] does the single body.

use std::collections::{BTreeSet, HashMap};

use wasmparser::{ExternalKind, FuncType, FunctionBody, Operator, Parser, Payload, TypeRef, ValType};

use super::{
    binary::{self, Binary, write_leb},
    function, not_wasm,
};
use crate::compute::module::LoadError;

/// The export of the global that is not 0 while an exception is in flight.
pub(crate) const IN_FLIGHT: &str = "weft:thrown";
/// Most tags of a module. C and C++ use one or two.
const MAX_TAGS: usize = 16;
/// Most globals that hold an exception's values.
const MAX_SLOTS: usize = 8;
/// Most new bytes for each byte of the code section.
const MAX_GROWTH: usize = 8;

/// What the bodies need to know of the module.
#[derive(Default)]
pub(super) struct Module {
    /// Types, with those added for blocks.
    pub(super) types: Vec<FuncType>,
    first_added_type: usize,
    swallowing: Swallowing,
    imported_functions: u32,
    /// Type of each function of the module, without the imported.
    functions: Vec<u32>,
    /// Type of each tag.
    tags: Vec<u32>,
    globals: u32,
    /// Type of the global that holds a value, by slot; slots are shared by tags whose values have the same place and type.
    slots: Vec<(usize, ValType)>,
    /// The functions, without the imported, out of which an exception can come.
    throwing: Vec<bool>,
    /// The imported function that counts gas: calls to it become nothing.
    gas: Option<u32>,
}

/// The types that take something and give nothing. Looked up for every `try`, of which there are as many as the sender of a
/// module likes: by the type that is asked for, else by its parameters.
#[derive(Default)]
struct Swallowing {
    of: HashMap<u32, u32>,
    by_params: HashMap<Box<[ValType]>, u32>,
}

impl Module {
    pub(super) fn has_tags(&self) -> bool {
        !self.tags.is_empty()
    }

    /// Whether an exception can come out of the function (imports not counted).
    pub(super) fn throws(&self, index: usize) -> bool {
        self.throwing.get(index).copied().unwrap_or(false)
    }

    pub(super) fn is_gas(&self, function: u32) -> bool {
        self.gas == Some(function)
    }

    /// Whether a direct call of `function` may come back with an exception in flight. Host functions never do.
    pub(super) fn may_throw(&self, function: u32) -> bool {
        function.checked_sub(self.imported_functions).is_some_and(|index| self.throws(index as usize))
    }

    fn takes_one(&self, ty: u32) -> bool {
        let ty = self.types.get(ty as usize);
        ty.is_some_and(|ty| ty.params().len() == 1 && ty.results().is_empty())
    }

    /// The global that says which exception is in flight.
    pub(super) fn in_flight(&self) -> u32 {
        self.globals
    }

    /// The globals that hold any exception's values, with their types.
    pub(super) fn values(&self) -> impl Iterator<Item = (u32, ValType)> {
        (self.globals.saturating_add(1)..).zip(self.slots.iter().map(|(_, ty)| *ty))
    }

    /// The globals that hold the values of an exception with this tag, in order.
    pub(super) fn values_of(&self, tag: u32) -> Result<Vec<u32>, LoadError> {
        let ty = self.tags.get(tag as usize).ok_or_else(|| broken("a tag that does not exist"))?;
        let ty = self.types.get(*ty as usize).ok_or_else(|| broken("a type that does not exist"))?;
        let slot = |wanted: (usize, &ValType)| {
            let slot = self.slots.iter().position(|(place, ty)| (*place, ty) == wanted);
            slot.map(|slot| self.globals.saturating_add(1).saturating_add(slot as u32))
        };
        ty.params().iter().enumerate().map(|param| slot(param).ok_or_else(|| broken("a tag"))).collect()
    }

    /// The type that takes the parameters of `ty` and gives nothing.
    pub(super) fn swallowing(&mut self, ty: u32) -> Result<u32, LoadError> {
        if let Some(known) = self.swallowing.of.get(&ty) {
            return Ok(*known);
        }
        let params = self.types.get(ty as usize).ok_or_else(|| broken("a type that does not exist"))?.params();
        let index = match self.swallowing.by_params.get(params) {
            Some(index) => *index,
            None => {
                let params: Box<[ValType]> = params.into();
                let index = self.types.len() as u32;
                self.types.push(FuncType::new(params.iter().copied(), []));
                self.swallowing.by_params.insert(params, index);
                index
            }
        };
        self.swallowing.of.insert(ty, index);
        Ok(index)
    }

    /// Remembers the module's own types that give nothing; of equal ones the first is used.
    fn remember_swallowing(&mut self) {
        for (index, ty) in (0_u32..).zip(&self.types).filter(|(_, ty)| ty.results().is_empty()) {
            self.swallowing.by_params.entry(ty.params().into()).or_insert(index);
        }
    }
}

pub(super) fn broken(what: &str) -> LoadError {
    LoadError::NotWasm(format!("it refers to {what}"))
}

/// `wasm` without exception instructions and without calls that count gas; `None` if it has neither.
pub(super) fn lower(wasm: &[u8]) -> Result<Option<Vec<u8>>, LoadError> {
    let (mut module, bodies) = read(wasm)?;
    if !module.has_tags() && module.gas.is_none() {
        return Ok(None);
    }
    module.first_added_type = module.types.len();
    module.remember_swallowing();
    module.throwing = throwing(&module, &bodies)?;
    let code: usize = bodies.iter().map(|body| body.range().len()).sum();
    let mut section = Vec::with_capacity(code + code / 2);
    write_leb(&mut section, bodies.len() as u32);
    for (index, body) in bodies.iter().enumerate() {
        let ty = module.functions.get(index).copied().ok_or_else(|| broken("a function without type"))?;
        let lowered = function::lower(&mut module, ty, index, body, wasm)?;
        write_leb(&mut section, lowered.len() as u32);
        section.extend_from_slice(&lowered);
        if section.len() > code.saturating_mul(MAX_GROWTH).saturating_add(1 << 20) {
            return Err(LoadError::Unsupported("more exception handling than code".to_owned()));
        }
    }
    let mut binary = Binary::parse(wasm)?;
    binary.replace(binary::CODE, section);
    if module.has_tags() {
        let exports = exports_without_tags(wasm)?;
        binary.remove(binary::TAGS);
        binary.replace(binary::EXPORTS, exports);
        let added = module.types.get(module.first_added_type..).unwrap_or_default();
        binary.append(binary::TYPES, 0, &added.iter().map(encoded_type).collect::<Result<Vec<_>, _>>()?)?;
        binary.append(binary::GLOBALS, binary::MEMORIES, &new_globals(&module)?)?;
        binary.append(binary::EXPORTS, binary::GLOBALS, &[binary::export(IN_FLIGHT, 3, module.in_flight())])?;
    }
    Ok(Some(binary.encode()))
}

fn read(wasm: &[u8]) -> Result<(Module, Vec<FunctionBody<'_>>), LoadError> {
    let (mut module, mut bodies) = (Module::default(), Vec::new());
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(not_wasm)? {
            // Types of other kinds need an engine with garbage collection: it will say so itself.
            Payload::TypeSection(section) => {
                for ty in section.into_iter_err_on_gc_types() {
                    module.types.push(ty.map_err(not_wasm)?);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.map_err(not_wasm)?;
                    match import.ty {
                        TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
                            if (import.module, import.name) == super::GAS && module.takes_one(ty) {
                                module.gas = Some(module.imported_functions);
                            }
                            module.imported_functions += 1;
                        }
                        TypeRef::Global(_) => module.globals += 1,
                        _ => {}
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    module.functions.push(ty.map_err(not_wasm)?);
                }
            }
            Payload::TagSection(section) => {
                for tag in section {
                    module.tags.push(tag.map_err(not_wasm)?.func_type_idx);
                }
            }
            Payload::GlobalSection(section) => module.globals = module.globals.saturating_add(section.count()),
            Payload::CodeSectionEntry(body) => bodies.push(body),
            _ => {}
        }
    }
    assign_slots(&mut module)?;
    Ok((module, bodies))
}

fn assign_slots(module: &mut Module) -> Result<(), LoadError> {
    let mut slots = BTreeSet::new();
    for tag in &module.tags {
        let ty = module.types.get(*tag as usize).ok_or_else(|| broken("a type that does not exist"))?;
        for (place, ty) in ty.params().iter().enumerate() {
            if matches!(ty, ValType::Ref(_)) {
                return Err(LoadError::Unsupported("an exception that holds a reference".to_owned()));
            }
            slots.insert((place, type_byte(*ty)?));
        }
    }
    if module.tags.len() > MAX_TAGS || slots.len() > MAX_SLOTS {
        let what = format!("more than {MAX_TAGS} sorts of exception, or ones with more than {MAX_SLOTS} values");
        return Err(LoadError::Unsupported(what));
    }
    let ty =
        |byte| [ValType::I32, ValType::I64, ValType::F32, ValType::F64].into_iter().find(|t| type_byte(*t) == Ok(byte));
    module.slots = slots.into_iter().map(|(place, byte)| (place, ty(byte).unwrap_or(ValType::V128))).collect();
    Ok(())
}

/// Which functions may end with an exception in flight: those that throw, call through a table, or call one that may.
fn throwing(module: &Module, bodies: &[FunctionBody<'_>]) -> Result<Vec<bool>, LoadError> {
    let mut throwing = vec![false; bodies.len()];
    if !module.has_tags() {
        return Ok(throwing);
    }
    let mut callers: Vec<Vec<usize>> = vec![Vec::new(); bodies.len()];
    for (index, body) in bodies.iter().enumerate() {
        for operator in body.get_operators_reader().map_err(not_wasm)? {
            let throws = match operator.map_err(not_wasm)? {
                Operator::Call { function_index } => {
                    let callee = function_index.checked_sub(module.imported_functions);
                    if let Some(list) = callee.and_then(|callee| callers.get_mut(callee as usize)) {
                        list.push(index);
                    }
                    false
                }
                Operator::Throw { .. } | Operator::Rethrow { .. } => true,
                Operator::CallIndirect { .. } | Operator::CallRef { .. } => true,
                _ => false,
            };
            if let Some(flag) = throwing.get_mut(index) {
                *flag |= throws;
            }
        }
    }
    let mut open: Vec<usize> = (0..).zip(&throwing).filter(|(_, throws)| **throws).map(|(index, _)| index).collect();
    while let Some(callee) = open.pop() {
        for caller in callers.get(callee).into_iter().flatten() {
            match throwing.get_mut(*caller) {
                Some(flag) if !*flag => {
                    *flag = true;
                    open.push(*caller);
                }
                _ => {}
            }
        }
    }
    Ok(throwing)
}

/// The export section with only what is left after the tags are gone.
fn exports_without_tags(wasm: &[u8]) -> Result<Vec<u8>, LoadError> {
    let mut kept = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::ExportSection(section) = payload.map_err(not_wasm)? {
            for entry in section {
                let entry = entry.map_err(not_wasm)?;
                let kind = match entry.kind {
                    ExternalKind::Func | ExternalKind::FuncExact => 0,
                    ExternalKind::Table => 1,
                    ExternalKind::Memory => 2,
                    ExternalKind::Global => 3,
                    ExternalKind::Tag => continue,
                };
                kept.push(binary::export(entry.name, kind, entry.index));
            }
        }
    }
    let mut section = Vec::new();
    write_leb(&mut section, kept.len() as u32);
    kept.iter().for_each(|entry| section.extend_from_slice(entry));
    Ok(section)
}

fn new_globals(module: &Module) -> Result<Vec<Vec<u8>>, LoadError> {
    let global = |ty: ValType| {
        let mut entry = vec![type_byte(ty)?, 1];
        function::write_default(&mut entry, ty)?;
        entry.push(function::END);
        Ok(entry)
    };
    std::iter::once(global(ValType::I32)).chain(module.values().map(|(_, ty)| global(ty))).collect()
}

fn encoded_type(ty: &FuncType) -> Result<Vec<u8>, LoadError> {
    let mut entry = vec![0x60];
    write_leb(&mut entry, ty.params().len() as u32);
    for param in ty.params() {
        entry.push(type_byte(*param)?);
    }
    entry.push(0);
    Ok(entry)
}

/// The byte that stands for a value type.
pub(super) fn type_byte(ty: ValType) -> Result<u8, LoadError> {
    match ty {
        ValType::I32 => Ok(0x7f),
        ValType::I64 => Ok(0x7e),
        ValType::F32 => Ok(0x7d),
        ValType::F64 => Ok(0x7c),
        ValType::V128 => Ok(0x7b),
        ValType::Ref(ty) if ty == wasmparser::RefType::FUNCREF => Ok(0x70),
        ValType::Ref(ty) if ty == wasmparser::RefType::EXTERNREF => Ok(0x6f),
        ValType::Ref(_) => Err(LoadError::Unsupported("references of that type beside exceptions".to_owned())),
    }
}
