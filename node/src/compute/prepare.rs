//! Looks through a module before it is compiled: what it may not contain is refused, and what of its state lies
//! outside the linear memory is made reachable.
//!
//! Where it sits: [`super::Engine`] calls [`prepare`] on bytes from anywhere, before wasmtime sees them.
//!
//! Snapshots hold the linear memory and the mutable globals. Globals are reached by exporting each under a name of
//! ours ([`global_name`]); instructions that change tables or drop segments would be state that no snapshot holds, so
//! modules with them are refused. (Compilers do not emit them for a single-threaded, statically linked program.)

use wasmparser::{Operator, Parser, Payload, ValType};

use super::{
    host,
    module::{LoadError, ModuleFormat},
};

/// Most bytes of one function: compile time grows faster than linearly with it.
const MAX_FUNCTION_BYTES: usize = 2 << 20;
/// Most mutable globals.
const MAX_GLOBALS: usize = 1024;
const EXPORT_SECTION: u8 = 7;

/// The name under which the `index`th mutable global is exported.
pub(crate) fn global_name(index: usize) -> String {
    format!("weft:global:{index}")
}

/// Checks `wasm` and exports its mutable globals. Imports are looked at here already, by name: compiling a module takes
/// seconds, and one that this node cannot run should not cost them.
pub(crate) fn prepare(wasm: &[u8], format: ModuleFormat) -> Result<Vec<u8>, LoadError> {
    if wasm.get(..4) != Some(b"\0asm") {
        return Err(LoadError::NotWasm("it does not begin with the four bytes of a wasm binary".to_owned()));
    }
    if wasm.get(4..8) != Some(&[1, 0, 0, 0]) {
        return Err(LoadError::NotWasm("it is not a core module of version 1".to_owned()));
    }
    let globals = inspect(wasm, format)?;
    export_globals(wasm, &globals)
}

/// The absolute indices of the mutable globals.
fn inspect(wasm: &[u8], format: ModuleFormat) -> Result<Vec<u32>, LoadError> {
    let mut imported = 0_u32;
    let mut mutable = Vec::new();
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
            Payload::CodeSectionEntry(body) => inspect_function(&body)?,
            _ => {}
        }
    }
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

/// `wasm` with its export section extended by `globals`. A module without exports comes back as it is: it lacks what
/// every format needs and is refused for that later.
fn export_globals(wasm: &[u8], globals: &[u32]) -> Result<Vec<u8>, LoadError> {
    let truncated = || LoadError::NotWasm("a section ends early".to_owned());
    let (header, mut rest) = wasm.split_at_checked(8).ok_or_else(truncated)?;
    let mut out = Vec::with_capacity(wasm.len() + 32 * globals.len() + 16);
    out.extend_from_slice(header);
    while let Some((&id, after_id)) = rest.split_first() {
        let (size, body) = read_leb(after_id).ok_or_else(truncated)?;
        let (content, next) = body.split_at_checked(size as usize).ok_or_else(truncated)?;
        if id == EXPORT_SECTION {
            let (count, entries) = read_leb(content).ok_or_else(truncated)?;
            let mut section = Vec::with_capacity(content.len() + 32 * globals.len());
            write_leb(&mut section, count.saturating_add(globals.len() as u32));
            section.extend_from_slice(entries);
            for (index, global) in globals.iter().enumerate() {
                let name = global_name(index);
                write_leb(&mut section, name.len() as u32);
                section.extend_from_slice(name.as_bytes());
                section.push(3); // the export is a global
                write_leb(&mut section, *global);
            }
            out.push(id);
            write_leb(&mut out, section.len() as u32);
            out.extend_from_slice(&section);
        } else {
            out.push(id);
            write_leb(&mut out, size);
            out.extend_from_slice(content);
        }
        rest = next;
    }
    Ok(out)
}

fn read_leb(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0_u64;
    let mut rest = bytes;
    for shift in [0, 7, 14, 21, 28] {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return u32::try_from(value).ok().map(|value| (value, rest));
        }
    }
    None
}

fn write_leb(out: &mut Vec<u8>, mut value: u32) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}
