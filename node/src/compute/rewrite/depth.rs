//! Bounds how deep a module's functions call each other, by counting in the module itself, so that a call stack that is too
//! deep fails a message at the same call on every machine. The engine's own limit is on bytes of native stack, which differ
//! between processors and, where host functions lie between, between builds of this program; it is set so far above
//! that counting always comes first.
//!
//! Each function has a cost: an upper estimate of its frame, from its parameters, locals and operands. Functions that may be
//! active more than once (they lie on or between cycles of the call graph, calls through the table and through the host
//! included) add their cost to a global when they begin and take it off when they end. All others together are bounded by
//! the longest way through them, which is looked at once; a module where that is too long is refused.
//!
//! Where it sits: the last of the changes in [`super::rewrite`]; what comes in has no exception instructions any more.

use std::collections::HashMap;

use wasmparser::{
    ElementItems, FuncValidatorAllocations, FunctionBody, Operator, Parser, Payload, TypeRef, ValType, ValidPayload,
    Validator, WasmFeatures,
};

use super::{
    binary::{self, Binary, write_leb, write_signed},
    exceptions::{broken, type_byte},
    not_wasm,
};
use crate::compute::{config::MAX_CALL_STACK, module::LoadError};

/// The export of the global that counts; -1 when the bound was met.
pub(crate) const CALL_DEPTH: &str = "weft:depth";
/// Cost of a call beside the values that it holds.
const BASE: u32 = 64;
/// Cost of a value.
const VALUE: u32 = 8;
/// Most cost of functions that are not counted, on any way through them.
const MAX_UNCOUNTED: u32 = 512 << 10;
/// Imports during which the host calls the module.
const CALLING_BACK: [&str; 4] = ["invoke_", "_tzset_js", "_mktime_js", "_timegm_js"];

/// The functions of a module (imports not counted) and who calls whom.
#[derive(Default)]
pub(super) struct Graph {
    pub(super) imported: u32,
    /// Imports that call the module, ascending.
    calling_back: Vec<u32>,
    costs: Vec<u32>,
    /// Called functions of each function, each once; `costs.len()` stands for "anything that can be called by a table".
    pub(super) calls: Vec<Vec<u32>>,
    /// Functions that a table or the host can call.
    pub(super) open: Vec<u32>,
    pub(super) globals: u32,
}

/// `wasm` with its recursive functions counted; `None` if it has none.
pub(super) fn bound(wasm: &[u8]) -> Result<Option<Vec<u8>>, LoadError> {
    let (graph, bodies) = measure(wasm)?;
    let counted = counted(&graph)?;
    if !counted.contains(&true) {
        return Ok(None);
    }
    let mut types = Types::read(wasm)?;
    let mut section = Vec::new();
    write_leb(&mut section, bodies.len() as u32);
    for (index, body) in bodies.iter().enumerate() {
        let raw = wasm.get(body.range()).ok_or_else(|| broken("bytes that are not there"))?;
        let new = match (counted.get(index), graph.costs.get(index)) {
            (Some(true), Some(cost)) => Some(counting(body, wasm, *cost, graph.globals, types.block_of(index)?)?),
            _ => None,
        };
        let new = new.as_deref().unwrap_or(raw);
        write_leb(&mut section, new.len() as u32);
        section.extend_from_slice(new);
    }
    let mut binary = Binary::parse(wasm)?;
    binary.replace(binary::CODE, section);
    binary.append(binary::TYPES, 0, &types.added)?;
    binary.append(binary::GLOBALS, binary::MEMORIES, &[vec![0x7f, 1, 0x41, 0, 0x0b]])?;
    binary.append(binary::EXPORTS, binary::GLOBALS, &[binary::export(CALL_DEPTH, super::GLOBAL, graph.globals)])?;
    Ok(Some(binary.encode()))
}

/// Looks through the whole module, which has to be valid.
pub(super) fn measure(wasm: &[u8]) -> Result<(Graph, Vec<FunctionBody<'_>>), LoadError> {
    let (mut graph, mut bodies) = (Graph::default(), Vec::new());
    let mut functions = 0_u32;
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    let mut allocations = Some(FuncValidatorAllocations::default());
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(not_wasm)?;
        if let ValidPayload::Func(function, body) = validator.payload(&payload).map_err(not_wasm)? {
            let mut function = function.into_validator(allocations.take().unwrap_or_default());
            let height = height(&mut function, &body)?;
            let values = function.len_locals().saturating_add(height);
            graph.costs.push(values.saturating_mul(VALUE).saturating_add(BASE).min(MAX_CALL_STACK));
            allocations = Some(function.into_allocations());
            graph.calls.push(calls(&graph, functions, &body)?);
            bodies.push(body);
        }
        match payload {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.map_err(not_wasm)?;
                    match import.ty {
                        TypeRef::Func(_) | TypeRef::FuncExact(_) => {
                            if CALLING_BACK.iter().any(|name| import.name.starts_with(name)) {
                                graph.calling_back.push(graph.imported);
                            }
                            graph.imported = graph.imported.saturating_add(1);
                        }
                        TypeRef::Global(_) => graph.globals = graph.globals.saturating_add(1),
                        _ => {}
                    }
                }
            }
            Payload::FunctionSection(section) => functions = section.count(),
            Payload::GlobalSection(section) => graph.globals = graph.globals.saturating_add(section.count()),
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export.map_err(not_wasm)?;
                    if matches!(export.kind, wasmparser::ExternalKind::Func | wasmparser::ExternalKind::FuncExact) {
                        graph.open.extend(export.index.checked_sub(graph.imported));
                    }
                }
            }
            Payload::ElementSection(section) => {
                for element in section {
                    in_table(&mut graph, element.map_err(not_wasm)?.items)?;
                }
            }
            _ => {}
        }
    }
    graph.open.sort_unstable();
    graph.open.dedup();
    Ok((graph, bodies))
}

fn in_table(graph: &mut Graph, items: ElementItems<'_>) -> Result<(), LoadError> {
    match items {
        ElementItems::Functions(functions) => {
            for function in functions {
                graph.open.extend(function.map_err(not_wasm)?.checked_sub(graph.imported));
            }
        }
        ElementItems::Expressions(_, expressions) => {
            for expression in expressions {
                for operator in expression.map_err(not_wasm)?.get_operators_reader() {
                    if let Operator::RefFunc { function_index } = operator.map_err(not_wasm)? {
                        graph.open.extend(function_index.checked_sub(graph.imported));
                    }
                }
            }
        }
    }
    Ok(())
}

/// The most operands that the function has at once.
fn height<T: wasmparser::WasmModuleResources>(
    function: &mut wasmparser::FuncValidator<T>,
    body: &FunctionBody<'_>,
) -> Result<u32, LoadError> {
    let mut reader = body.get_binary_reader();
    function.read_locals(&mut reader).map_err(not_wasm)?;
    let mut operators = body.get_operators_reader().map_err(not_wasm)?;
    let mut most = 0;
    while !operators.eof() {
        let (operator, offset) = operators.read_with_offset().map_err(not_wasm)?;
        function.op(offset, &operator).map_err(not_wasm)?;
        most = most.max(function.operand_stack_height());
    }
    Ok(most)
}

/// Whom a body calls: functions of the module, or `anything`.
fn calls(graph: &Graph, anything: u32, body: &FunctionBody<'_>) -> Result<Vec<u32>, LoadError> {
    let mut calls = Vec::new();
    for operator in body.get_operators_reader().map_err(not_wasm)? {
        match operator.map_err(not_wasm)? {
            Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                match function_index.checked_sub(graph.imported) {
                    Some(own) => calls.push(own),
                    None if graph.calling_back.binary_search(&function_index).is_ok() => calls.push(anything),
                    None => {}
                }
            }
            Operator::CallIndirect { .. }
            | Operator::CallRef { .. }
            | Operator::ReturnCallIndirect { .. }
            | Operator::ReturnCallRef { .. } => calls.push(anything),
            _ => {}
        }
    }
    calls.sort_unstable();
    calls.dedup();
    Ok(calls)
}

/// Which functions lie on or between cycles. The others are taken away from below (those that call none that is left), then
/// from above (those that none that is left calls); the longest way through them is checked on the way.
fn counted(graph: &Graph) -> Result<Vec<bool>, LoadError> {
    let mut calls = graph.calls.clone();
    calls.push(graph.open.clone());
    let mut callers: Vec<Vec<u32>> = vec![Vec::new(); calls.len()];
    for (caller, callees) in (0_u32..).zip(&calls) {
        for callee in callees {
            callers.get_mut(*callee as usize).ok_or_else(|| broken("a function that does not exist"))?.push(caller);
        }
    }
    let mut left = vec![true; calls.len()];
    let below = peel(graph, &calls, &callers, &mut left);
    let above = peel(graph, &callers, &calls, &mut left);
    if below.saturating_add(above) > MAX_UNCOUNTED {
        return Err(LoadError::Unsupported("functions that call each other in too long a chain".to_owned()));
    }
    left.pop();
    Ok(left)
}

/// Takes away what has no way on among what is left; the greatest cost of a way through what was taken.
fn peel(graph: &Graph, onwards: &[Vec<u32>], back: &[Vec<u32>], left: &mut [bool]) -> u32 {
    let is_left = |left: &[bool], node: u32| left.get(node as usize).copied().unwrap_or(false);
    let mut ways: Vec<usize> =
        onwards.iter().map(|nodes| nodes.iter().filter(|node| is_left(left, **node)).count()).collect();
    let mut longest = vec![0_u32; onwards.len()];
    let mut ready: Vec<u32> =
        (0_u32..).zip(&ways).filter(|(node, ways)| is_left(left, *node) && **ways == 0).map(|(node, _)| node).collect();
    let mut most = 0;
    while let Some(node) = ready.pop() {
        let cost = graph.costs.get(node as usize).copied().unwrap_or(0);
        let Some(place) = longest.get_mut(node as usize) else { continue };
        *place = place.saturating_add(cost);
        let here = *place;
        most = most.max(here);
        if let Some(flag) = left.get_mut(node as usize) {
            *flag = false;
        }
        for before in back.get(node as usize).into_iter().flatten() {
            if !is_left(left, *before) {
                continue;
            }
            if let Some(way) = longest.get_mut(*before as usize) {
                *way = (*way).max(here);
            }
            if let Some(count) = ways.get_mut(*before as usize) {
                *count -= 1;
                if *count == 0 {
                    ready.push(*before);
                }
            }
        }
    }
    most
}

/// The types of the functions' results, as types of blocks.
#[derive(Default)]
struct Types {
    results: Vec<Vec<ValType>>,
    functions: Vec<u32>,
    count: u32,
    added: Vec<Vec<u8>>,
    /// Where an added type is.
    places: HashMap<Vec<u8>, usize>,
    /// Where the added type for a function type with more than one result is.
    known: HashMap<u32, usize>,
}

impl Types {
    fn read(wasm: &[u8]) -> Result<Self, LoadError> {
        let mut types = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.map_err(not_wasm)? {
                Payload::TypeSection(section) => {
                    for ty in section.into_iter_err_on_gc_types() {
                        types.results.push(ty.map_err(not_wasm)?.results().to_vec());
                    }
                }
                Payload::FunctionSection(section) => {
                    for ty in section {
                        types.functions.push(ty.map_err(not_wasm)?);
                    }
                }
                _ => {}
            }
        }
        types.count = types.results.len() as u32;
        Ok(types)
    }

    /// The encoded type of a block that takes nothing and gives what function `index` gives.
    fn block_of(&mut self, index: usize) -> Result<Vec<u8>, LoadError> {
        let missing = || broken("a type that does not exist");
        let ty = *self.functions.get(index).ok_or_else(missing)?;
        match self.results.get(ty as usize).ok_or_else(missing)?.as_slice() {
            [] => Ok(vec![0x40]),
            [one] => Ok(vec![type_byte(*one)?]),
            many => {
                let place = match self.known.get(&ty) {
                    Some(place) => *place,
                    None => {
                        let entry = giving(many)?;
                        let place = *self.places.entry(entry).or_insert_with_key(|entry| {
                            self.added.push(entry.clone());
                            self.added.len() - 1
                        });
                        self.known.insert(ty, place);
                        place
                    }
                };
                let mut block = Vec::new();
                write_signed(&mut block, self.count.saturating_add(place as u32));
                Ok(block)
            }
        }
    }
}

/// The encoded type that takes nothing and gives `results`.
fn giving(results: &[ValType]) -> Result<Vec<u8>, LoadError> {
    let mut entry = vec![0x60, 0];
    write_leb(&mut entry, results.len() as u32);
    for ty in results {
        entry.push(type_byte(*ty)?);
    }
    Ok(entry)
}

/// The body with the count around it. Its code becomes a block, so that branches out of it stay as they are and only
/// `return` has to become one.
fn counting(
    body: &FunctionBody<'_>,
    wasm: &[u8],
    cost: u32,
    global: u32,
    block: Vec<u8>,
) -> Result<Vec<u8>, LoadError> {
    let bytes = |range: std::ops::Range<usize>| wasm.get(range).ok_or_else(|| broken("bytes that are not there"));
    let mut operators = body.get_operators_reader().map_err(not_wasm)?;
    let code = operators.original_position();
    let mut out = bytes(body.range().start..code)?.to_vec();
    let (mut get, mut set) = (vec![0x23], vec![0x24]);
    write_leb(&mut get, global);
    write_leb(&mut set, global);
    let constant = |value: u32| {
        let mut constant = vec![0x41];
        write_signed(&mut constant, value);
        constant
    };
    // depth += cost; if depth > most { depth = -1; unreachable }
    out.extend([get.clone(), constant(cost), vec![0x6a], set.clone(), get.clone(), constant(MAX_CALL_STACK)].concat());
    out.extend([vec![0x4b, 0x04, 0x40, 0x41, 0x7f], set.clone(), vec![0x00, 0x0b, 0x02], block].concat());
    let mut open = 0_u32;
    while !operators.eof() {
        let start = operators.original_position();
        let operator = operators.read().map_err(not_wasm)?;
        match operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => open = open.saturating_add(1),
            Operator::Return => {
                out.push(0x0c);
                write_leb(&mut out, open);
                continue;
            }
            Operator::End if open > 0 => open -= 1,
            Operator::Try { .. } | Operator::TryTable { .. } => return Err(broken("an exception")),
            Operator::ReturnCall { .. } | Operator::ReturnCallIndirect { .. } | Operator::ReturnCallRef { .. } => {
                return Err(LoadError::Unsupported("tail calls".to_owned()));
            }
            _ => {}
        }
        out.extend_from_slice(bytes(start..operators.original_position())?);
    }
    // The function's own end has become the block's.
    out.extend([get, constant(cost), vec![0x6b], set, vec![0x0b]].concat());
    Ok(out)
}
