#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use prometheus_client::{encoding::text::encode, registry::Registry};

use super::*;

#[test]
fn every_number_is_scraped_under_its_name_with_the_newest_value() {
    let mut registry = Registry::default();
    let gauges = Gauges::register(&mut registry);
    let values: Now = std::array::from_fn(|i| i as u64 + 1);
    gauges.set(&[7; NUMBERS.len()]);
    gauges.set(&values);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    for ((name, help), value) in NUMBERS.iter().zip(values) {
        assert!(text.contains(&format!("# HELP {name} {help}.\n")), "{name} is not explained in\n{text}");
        assert!(text.lines().any(|line| line == format!("{name} {value}")), "{name} is not {value} in\n{text}");
    }
}
