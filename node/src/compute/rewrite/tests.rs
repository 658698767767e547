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

#[test]
fn no_exception_and_no_gas_is_left() {
    let format = ModuleFormat::Emscripten32Early;
    let rewritten = rewrite(&module(), format).unwrap().unwrap();
    // It is a module without exceptions to somebody who knows none.
    let features = wasmparser::WasmFeatures::WASM2 - wasmparser::WasmFeatures::EXCEPTIONS;
    assert!(wasmparser::Validator::new_with_features(features).validate_all(&module()).is_err());
    wasmparser::Validator::new_with_features(features).validate_all(&rewritten).unwrap();
    assert!(rewrite(&rewritten, format).unwrap().is_some(), "the import that counts gas stays");
    let text = rewritten.windows(IN_FLIGHT.len()).any(|window| window == IN_FLIGHT.as_bytes());
    assert!(text, "the host finds the exception in flight");
    assert!(rewrite(&wat::parse_str("(module (func))").unwrap(), format).unwrap().is_none());
}

#[test]
fn damaged_bytes_are_errors_and_no_panics() {
    let wasm = module();
    for length in 8..wasm.len() {
        let _ = rewrite(&wasm[..length], ModuleFormat::Emscripten32Early);
    }
    for at in 8..wasm.len() {
        for flip in [0x01, 0x08, 0x1f, 0x40, 0x80, 0xff] {
            let mut other = wasm.clone();
            other[at] ^= flip;
            let _ = rewrite(&other, ModuleFormat::Emscripten32Early);
        }
    }
}
