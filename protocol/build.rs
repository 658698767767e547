//! Compiles `proto/` with protox: no `protoc` needed to build Weft.
use std::{env, error::Error, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let files = protox::compile(["weft/v1/wire.proto"], [&root])?;
    prost_build::Config::new().bytes(["."]).compile_fds(files)?;
    Ok(())
}
