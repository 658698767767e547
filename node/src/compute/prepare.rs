//! Looks through a module before it is compiled: what it may not contain is refused, and what of its state lies
//! outside the linear memory is made reachable.
//!
//! Where it sits: [`super::Engine`] calls [`prepare`] on bytes from anywhere, before wasmtime sees them.
//!
//! Snapshots hold the linear memory and the mutable globals. Globals are reached by exporting each under a name of
//! ours ([`global_name`]); instructions that change tables or drop segments would be state that no snapshot holds, so
//! modules with them are refused. (Compilers do not emit them for a single-threaded, statically linked program.)

use wasmparser::{ExternalKind, Operator, Parser, Payload, ValType};

use super::{
    host,
    module::{LoadError, ModuleFormat},
    rewrite::{export_globals, readable, rewrite},
};

/// Most bytes of one function: compile time grows faster than linearly with it.
const MAX_FUNCTION_BYTES: usize = 2 << 20;
/// Bytes of a page, in which modules say how much memory they begin with.
const WASM_PAGE: u64 = 65_536;
/// Most mutable globals.
const MAX_GLOBALS: usize = 1024;
/// Exports that begin like this are ours.
const RESERVED: &str = "weft:";

/// The name under which the `index`th mutable global is exported.
pub(crate) fn global_name(index: usize) -> String {
    format!("weft:global:{index}")
}

/// Checks `wasm`, translates it and exports its mutable globals. Imports are looked at here already, by name, and the
/// memory by its size: compiling a module takes seconds, and one that this node cannot run should not cost them.
pub(crate) fn prepare(wasm: &[u8], format: ModuleFormat, max_memory: u64) -> Result<Vec<u8>, LoadError> {
    if wasm.get(..4) != Some(b"\0asm") {
        return Err(LoadError::NotWasm("it does not begin with the four bytes of a wasm binary".to_owned()));
    }
    if wasm.get(4..8) != Some(&[1, 0, 0, 0]) {
        return Err(LoadError::NotWasm("it is not a core module of version 1".to_owned()));
    }
    reserved_names(wasm)?;
    let named = readable(wasm, format)?;
    let wasm = named.as_deref().unwrap_or(wasm);
    // Before the translation, so that it only works on what could run; and behind it, which makes functions and adds globals.
    inspect(wasm, format, max_memory)?;
    memory_width(wasm, format)?;
    let rewritten = rewrite(wasm)?;
    let wasm = rewritten.as_slice();
    let globals = inspect(wasm, format, max_memory)?;
    let named: Vec<_> = globals.iter().enumerate().map(|(index, global)| (global_name(index), *global)).collect();
    export_globals(wasm, &named)
}

/// A module that exports under names of ours could pass something else off as its state.
fn reserved_names(wasm: &[u8]) -> Result<(), LoadError> {
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::ExportSection(section) = payload.map_err(not_wasm)? {
            for export in section {
                let name = export.map_err(not_wasm)?.name;
                if name.starts_with(RESERVED) {
                    let shown: String = name.chars().take(40).collect();
                    return Err(LoadError::Unsupported(format!("the reserved export name {shown:?}")));
                }
            }
        }
    }
    Ok(())
}

/// Looked at here: what is compiled has a 32-bit memory in any case.
fn memory_width(wasm: &[u8], format: ModuleFormat) -> Result<(), LoadError> {
    let wide = format == ModuleFormat::Emscripten64;
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::MemorySection(section) = payload.map_err(not_wasm)? {
            for memory in section {
                if memory.map_err(not_wasm)?.memory64 != wide {
                    let (has, wants) = if wide { ("32", "64") } else { ("64", "32") };
                    return Err(LoadError::Unsupported(format!(
                        "{has}-bit memory where its Module-Format {format} says {wants}-bit"
                    )));
                }
            }
        }
    }
    Ok(())
}

/// The absolute indices of the mutable globals that are state: not of those that the translation exported, which are the
/// same before every message.
fn inspect(wasm: &[u8], format: ModuleFormat, max_memory: u64) -> Result<Vec<u32>, LoadError> {
    let mut imported = 0_u32;
    let (mut mutable, mut ours) = (Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(not_wasm)? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.map_err(not_wasm)?;
                    if !host::knows(format, import.module, import.name) {
                        return Err(LoadError::UnknownImport(format!("{}.{}", import.module, import.name)));
                    }
                    if matches!(import.ty, wasmparser::TypeRef::Global(_)) {
                        imported = imported.saturating_add(1);
                    }
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let needs = memory.map_err(not_wasm)?.initial.saturating_mul(WASM_PAGE);
                    if needs > max_memory {
                        return Err(LoadError::MemoryTooLarge { needs, limit: max_memory });
                    }
                }
            }
            Payload::GlobalSection(section) => {
                for (index, global) in (imported..).zip(section) {
                    let global = global.map_err(not_wasm)?;
                    if !global.ty.mutable {
                        continue;
                    }
                    if matches!(global.ty.content_type, ValType::Ref(_)) {
                        return Err(LoadError::Unsupported("a mutable global that holds a reference".to_owned()));
                    }
                    mutable.push(index);
                }
                if mutable.len() > MAX_GLOBALS {
                    return Err(LoadError::Unsupported(format!("more than {MAX_GLOBALS} mutable globals")));
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export.map_err(not_wasm)?;
                    if export.name.starts_with(RESERVED) && matches!(export.kind, ExternalKind::Global) {
                        ours.push(export.index);
                    }
                }
            }
            Payload::CodeSectionEntry(body) => inspect_function(&body)?,
            _ => {}
        }
    }
    mutable.retain(|index| !ours.contains(index));
    Ok(mutable)
}

fn inspect_function(body: &wasmparser::FunctionBody<'_>) -> Result<(), LoadError> {
    if body.range().len() > MAX_FUNCTION_BYTES {
        return Err(LoadError::Unsupported(format!("a function of more than {MAX_FUNCTION_BYTES} bytes")));
    }
    for operator in body.get_operators_reader().map_err(not_wasm)? {
        let name = match operator.map_err(not_wasm)? {
            Operator::TableSet { .. } => "table.set",
            Operator::TableGrow { .. } => "table.grow",
            Operator::TableFill { .. } => "table.fill",
            Operator::TableCopy { .. } => "table.copy",
            Operator::TableInit { .. } => "table.init",
            Operator::ElemDrop { .. } => "elem.drop",
            Operator::DataDrop { .. } => "data.drop",
            _ => continue,
        };
        return Err(LoadError::Unsupported(format!("the instruction {name}")));
    }
    Ok(())
}

fn not_wasm(error: wasmparser::BinaryReaderError) -> LoadError {
    LoadError::NotWasm(error.to_string())
}
