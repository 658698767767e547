#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;

/// A little of everything that is translated.
fn module() -> Vec<u8> {
    wat::parse_str(
        r#"(module
            (type $ii (func (param i32) (result i32)))
            (import "metering" "usegas" (func $gas (param i32)))
            (tag $i (export "tag") (param i32)) (tag $none)
            (memory (export "memory") 1) (table 1 funcref) (elem (i32.const 0) $f)
            (func $f (type $ii) (local i64)
              (call $gas (i32.const 3))
              try $outer (result i32)
                try
                  (br_if $outer (call_indirect (type $ii) (local.get 0) (i32.const 0)) (local.get 0)) drop
                  (throw $i (i32.const 5))
                delegate $outer
                i32.const 1
              catch $i
                (block $b (br_table $b $b (i32.const 0)))
                rethrow $outer
              catch_all
                (throw $none)
              end))"#,
    )
    .unwrap()
}

/// All that is changed before the compilation.
fn all(wasm: &[u8], format: ModuleFormat) -> Result<Vec<u8>, LoadError> {
    let named = readable(wasm, format)?;
    rewrite(named.as_deref().unwrap_or(wasm))
}

/// Whether the module has this export of ours.
fn has(wasm: &[u8], export: &str) -> bool {
    wasm.windows(export.len()).any(|window| window == export.as_bytes())
}

#[test]
fn no_exception_and_no_gas_is_left() {
    let format = ModuleFormat::Emscripten32Early;
    let rewritten = all(&module(), format).unwrap();
    // It is a module without exceptions to somebody who knows none.
    let features = wasmparser::WasmFeatures::WASM2 - wasmparser::WasmFeatures::EXCEPTIONS;
    assert!(wasmparser::Validator::new_with_features(features).validate_all(&module()).is_err());
    wasmparser::Validator::new_with_features(features).validate_all(&rewritten).unwrap();
    assert!(has(&rewritten, IN_FLIGHT), "the host finds the exception in flight");
    assert!(has(&rewritten, FUEL));
    let plain = all(&wat::parse_str("(module (func))").unwrap(), format).unwrap();
    assert!(has(&plain, FUEL) && !has(&plain, IN_FLIGHT) && !has(&plain, CALL_DEPTH));
}

#[test]
fn damaged_bytes_are_errors_and_no_panics() {
    let wasm = module();
    for length in 8..wasm.len() {
        let _ = all(&wasm[..length], ModuleFormat::Emscripten32Early);
    }
    for at in 8..wasm.len() {
        for flip in [0x01, 0x08, 0x1f, 0x40, 0x80, 0xff] {
            let mut other = wasm.clone();
            other[at] ^= flip;
            let _ = all(&other, ModuleFormat::Emscripten32Early);
        }
    }
}

/// A section of a binary.
fn section(wasm: &mut Vec<u8>, id: u8, count: u32, entries: &[u8]) {
    let mut content = Vec::new();
    binary::write_leb(&mut content, count);
    content.extend_from_slice(entries);
    wasm.push(id);
    binary::write_leb(wasm, content.len() as u32);
    wasm.extend_from_slice(&content);
}

/// A module of these sections: number, count of entries, entries.
fn binary_of(sections: &[(u8, u32, &[u8])]) -> Vec<u8> {
    let mut wasm = b"\0asm\x01\0\0\0".to_vec();
    sections.iter().for_each(|(id, count, entries)| section(&mut wasm, *id, *count, entries));
    wasm
}

/// The body of a function without locals, with its length in front.
fn body(code: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    binary::write_leb(&mut body, code.len() as u32 + 1);
    body.push(0);
    body.extend_from_slice(code);
    body
}

/// Eight values, different for each of the first 65,536 numbers.
fn eight(number: u32) -> [u8; 8] {
    std::array::from_fn(|place| 0x7c + (number >> (2 * place) & 3) as u8)
}

const MANY: u32 = 1 << 16;

// What follows takes seconds where the work grows with the size of the module, and longer than any test may run where it
// grows with the square.

#[test]
fn many_types_and_many_tries() {
    let mut types = vec![0x60, 0, 0];
    let mut tries = vec![0x00];
    for number in 0..MANY {
        types.extend([0x60, 8].into_iter().chain(eight(number)).chain([0]));
        tries.push(0x06);
        binary::write_signed(&mut tries, number + 1);
        // unreachable, catch_all, unreachable, end
        tries.extend([0x00, 0x19, 0x00, 0x0b]);
    }
    tries.push(0x0b);
    let functions = 8_u32;
    let code = body(&tries).repeat(functions as usize);
    let declared = vec![0; functions as usize];
    let wasm = binary_of(&[(1, MANY + 1, &types), (3, functions, &declared), (13, 1, &[0, 0]), (10, functions, &code)]);
    let rewritten = rewrite(&wasm).unwrap();
    let features = wasmparser::WasmFeatures::WASM2 - wasmparser::WasmFeatures::EXCEPTIONS;
    wasmparser::Validator::new_with_features(features).validate_all(&rewritten).unwrap();
}

#[test]
fn many_imports_and_many_calls() {
    let functions = 4_u32;
    let import = [&[3][..], b"env", &[8], b"invoke_v", &[0, 0]].concat();
    let mut calls = Vec::new();
    for _ in 0..MANY * 4 {
        calls.push(0x10);
        binary::write_leb(&mut calls, 4 * MANY - 1);
    }
    calls.push(0x0b);
    let (imports, code) = (import.repeat(4 * MANY as usize), body(&calls).repeat(functions as usize));
    let declared = vec![0; functions as usize];
    let wasm =
        binary_of(&[(1, 1, &[0x60, 0, 0]), (2, 4 * MANY, &imports), (3, functions, &declared), (10, functions, &code)]);
    assert!(!has(&rewrite(&wasm).unwrap(), CALL_DEPTH), "nobody can be called back");
}

#[test]
fn many_functions_with_many_results() {
    let (mut types, mut declared, mut code) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..MANY {
        types.extend([0x60, 0, 8].into_iter().chain(eight(number)));
        binary::write_leb(&mut declared, number);
        let mut call = vec![0x10];
        binary::write_leb(&mut call, number);
        call.push(0x0b);
        code.extend(body(&call));
    }
    let wasm = binary_of(&[(1, MANY, &types), (3, MANY, &declared), (10, MANY, &code)]);
    let rewritten = rewrite(&wasm).unwrap();
    wasmparser::Validator::new().validate_all(&rewritten).unwrap();
}
