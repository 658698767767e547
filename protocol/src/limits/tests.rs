#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;

const MOST: Limits = Limits { memory_bytes: 1 << 30, fuel: 25_000_000_000 };

fn tags(tags: &[(&str, &str)]) -> Vec<Tag> {
    tags.iter().map(|(name, value)| Tag::new(*name, *value)).collect()
}

fn memory(value: &str) -> Result<u64, LimitError> {
    Limits::of(&tags(&[(MEMORY_LIMIT, value)]), &[], MOST).map(|limits| limits.memory_bytes)
}

#[test]
fn memory_in_every_unit() {
    for (value, bytes) in [
        ("512-mb", 512 << 20),
        ("512mb", 512 << 20),
        ("512 MB", 512 << 20),
        ("0.5-gb", 512 << 20),
        ("1-gb", 1 << 30),
        ("64-kb", 64 << 10),
        ("65536-b", 65_536),
        ("65536", 65_536),
        ("2-gb", 1 << 30),
        ("99999999999999999999-tb", 1 << 30),
    ] {
        assert_eq!(memory(value), Ok(bytes), "{value}");
    }
    for value in ["", "-", "mb", "-1-gb", "1--gb", "1e9", "0-mb", "0.0000001-gb", "1-pb", "lots", "1.-gb", "१-gb"] {
        assert!(memory(value).is_err(), "{value}");
    }
    assert_eq!(
        memory("lots").unwrap_err().to_string(),
        "the process's tag Memory-Limit is \"lots\"; write a number and a unit (b, kb, mb, gb or tb), for example 512-mb"
    );
    assert!(memory(&"1".repeat(10_000)).unwrap_err().to_string().len() < 200);
}

#[test]
fn work_is_a_whole_number() {
    let fuel = |value: &str| Limits::of(&tags(&[(COMPUTE_LIMIT, value)]), &[], MOST).map(|limits| limits.fuel);
    assert_eq!(fuel("1000000"), Ok(1_000_000));
    assert_eq!(fuel("9000000000000"), Ok(MOST.fuel));
    assert_eq!(fuel("99999999999999999999999"), Ok(MOST.fuel));
    for value in ["", "0", "-1", "1.5", "1e6", "many"] {
        let error = fuel(value).unwrap_err().to_string();
        assert!(error.contains("Compute-Limit") && error.contains("whole number"), "{error}");
    }
}

#[test]
fn the_process_counts_before_its_module() {
    let module = tags(&[(MEMORY_LIMIT, "256-mb"), (COMPUTE_LIMIT, "7")]);
    assert_eq!(Limits::of(&[], &[], MOST), Ok(MOST));
    assert_eq!(Limits::of(&[], &module, MOST), Ok(Limits { memory_bytes: 256 << 20, fuel: 7 }));
    let process = tags(&[(MEMORY_LIMIT, "512-mb"), (MEMORY_LIMIT, "nonsense")]);
    assert_eq!(Limits::of(&process, &module, MOST), Ok(Limits { memory_bytes: 512 << 20, fuel: 7 }));
    let error = Limits::of(&process, &tags(&[(COMPUTE_LIMIT, "x")]), MOST).unwrap_err();
    assert!(error.to_string().starts_with("the module's tag Compute-Limit"), "{error}");
    // What the process says makes what the module says not matter.
    assert!(Limits::of(&process, &tags(&[(MEMORY_LIMIT, "x")]), MOST).is_ok());
}
