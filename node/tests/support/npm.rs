//! Packages of the npm registry for tests, each in a folder of its own under `target/npm`, installed once.
//!
//! Use from a test file: `#[path = "support/npm.rs"] mod npm;`.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The folder whose `node_modules` holds `package` (`name@version`). One test process installs, the others wait.
///
/// # Panics
/// If npm is missing or fails: a test that needs the real client cannot say anything without it.
pub fn installed(folder: &str, package: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/tmp lies in target");
    let folder = target.join("npm").join(folder);
    fs::create_dir_all(&folder).unwrap();
    let lock = fs::File::create(folder.join(".lock")).unwrap();
    lock.lock().unwrap();
    let done = folder.join(".installed");
    if fs::read_to_string(&done).is_ok_and(|have| have == package) {
        return folder;
    }
    // A package.json of its own keeps npm from looking for one further up.
    fs::write(folder.join("package.json"), "{\"private\":true}").unwrap();
    let status = Command::new("npm")
        .args(["install", "--ignore-scripts", "--no-save", "--no-audit", "--no-fund", package])
        .current_dir(&folder)
        .status()
        .unwrap_or_else(|fault| panic!("npm is needed to install {package}: {fault}; install Node.js 20 or later"));
    assert!(status.success(), "npm install {package} failed in {}", folder.display());
    fs::write(&done, package).unwrap();
    folder
}

/// Runs `script` (an ES module) beside the packages in `folder` and returns what it printed.
///
/// # Panics
/// If Node.js is missing or the script fails; its output is shown.
pub fn run(folder: &Path, name: &str, script: &str, variables: &[(&str, &str)]) -> String {
    let file = folder.join(format!("{name}-{}.mjs", std::process::id()));
    fs::write(&file, script).unwrap();
    let output = Command::new("node")
        .arg(&file)
        .envs(variables.iter().copied())
        .output()
        .expect("node is needed to run the real client");
    fs::remove_file(&file).unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}
