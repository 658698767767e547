//! The names of the oldest format, `wasm32-unknown-emscripten`, whose builds call their imports `a.a`, `a.b` … and their exports
//! `E`, `F` …: the assignment was fixed by the one tool that made them, so it is a table.

use wasmparser::{ExternalKind, Parser, Payload, TypeRef};

use super::{
    binary::{self, Binary, write_leb, write_name},
    not_wasm,
};
use crate::compute::module::LoadError;

/// The module that minified builds import everything from.
const MINIFIED: &str = "a";
const ENV: &str = "env";
const WASI: &str = "wasi_snapshot_preview1";

const IMPORTS: [(&str, &str, &str); 30] = [
    ("a", ENV, "_emscripten_date_now"),
    ("b", ENV, "setTempRet0"),
    ("c", WASI, "fd_close"),
    ("d", ENV, "__syscall_fcntl64"),
    ("e", ENV, "__syscall_unlinkat"),
    ("f", WASI, "fd_write"),
    ("g", ENV, "__syscall_openat"),
    ("h", ENV, "getTempRet0"),
    ("i", ENV, "_mktime_js"),
    ("j", ENV, "_tzset_js"),
    ("k", ENV, "emscripten_memcpy_big"),
    ("l", ENV, "exit"),
    ("m", ENV, "system"),
    ("n", ENV, "strftime"),
    ("o", WASI, "fd_seek"),
    ("p", ENV, "_emscripten_throw_longjmp"),
    ("q", ENV, "emscripten_resize_heap"),
    ("r", ENV, "__syscall_lstat64"),
    ("s", ENV, "__syscall_renameat"),
    ("t", ENV, "__syscall_rmdir"),
    ("u", WASI, "environ_get"),
    ("v", WASI, "environ_sizes_get"),
    ("w", ENV, "__syscall_dup3"),
    ("x", ENV, "invoke_vii"),
    ("y", WASI, "fd_read"),
    ("z", ENV, "__syscall_ioctl"),
    ("A", ENV, "_emscripten_get_now_is_monotonic"),
    ("B", ENV, "_gmtime_js"),
    ("C", ENV, "_localtime_js"),
    ("D", ENV, "abort"),
];

const EXPORTS: [(&str, &str); 11] = [
    ("E", "memory"),
    ("F", "__wasm_call_ctors"),
    ("G", "handle"),
    ("H", "main"),
    ("I", "__indirect_function_table"),
    ("J", "malloc"),
    ("K", "__errno_location"),
    ("L", "setThrew"),
    ("M", "stackSave"),
    ("N", "stackRestore"),
    ("O", "stackAlloc"),
];

/// `wasm` with readable names, if it is a minified build.
pub(super) fn readable(wasm: &[u8]) -> Result<Option<Vec<u8>>, LoadError> {
    let (mut imports, mut exports, mut minified) = (Vec::new(), Vec::new(), false);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(not_wasm)? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.map_err(not_wasm)?;
                    // Such builds import functions only; with anything else it is not one.
                    let TypeRef::Func(ty) = import.ty else { return Ok(None) };
                    minified |= import.module == MINIFIED;
                    imports.push(renamed(import.module, import.name, ty));
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export.map_err(not_wasm)?;
                    let kind = match export.kind {
                        ExternalKind::Func => 0,
                        ExternalKind::Table => 1,
                        ExternalKind::Memory => 2,
                        ExternalKind::Global => 3,
                        _ => return Ok(None),
                    };
                    let known = EXPORTS.iter().find(|(short, _)| *short == export.name);
                    exports.push(binary::export(known.map_or(export.name, |(_, name)| name), kind, export.index));
                }
            }
            _ => {}
        }
    }
    if !minified {
        return Ok(None);
    }
    let mut binary = Binary::parse(wasm)?;
    binary.replace(binary::IMPORTS, list(&imports));
    binary.replace(binary::EXPORTS, list(&exports));
    Ok(Some(binary.encode()))
}

/// The entry of a function import, under its readable name if it has one.
fn renamed(module: &str, name: &str, ty: u32) -> Vec<u8> {
    let known = IMPORTS.iter().find(|(short, ..)| module == MINIFIED && *short == name);
    let (module, name) = known.map_or((module, name), |(_, module, name)| (module, name));
    let mut entry = Vec::with_capacity(module.len() + name.len() + 8);
    write_name(&mut entry, module);
    write_name(&mut entry, name);
    entry.push(0);
    write_leb(&mut entry, ty);
    entry
}

fn list(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut section = Vec::with_capacity(entries.iter().map(Vec::len).sum::<usize>() + 5);
    write_leb(&mut section, entries.len() as u32);
    entries.iter().for_each(|entry| section.extend_from_slice(entry));
    section
}
