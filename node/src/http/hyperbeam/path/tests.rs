#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;

fn named(name: &str) -> Step {
    Step { name: name.into(), ..Step::default() }
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn steps_have_devices_values_and_keys() {
    let steps = parse("/abc~Process@1.0/compute/results=7").unwrap();
    let process = Step { device: Some("process@1.0".into()), ..named("abc") };
    let results = Step { value: Some("7".into()), ..named("results") };
    assert_eq!(steps, [process, named("compute"), results]);
    let step = &parse("/x/compute&slot+integer=5&deep").unwrap()[1];
    assert_eq!(step.keys, pairs(&[("slot", "5"), ("deep", "true")]));
    assert_eq!(step.key("SLOT"), Some("5"));
    assert_eq!(parse("/x/push&async&depth=1").unwrap()[1].keys, pairs(&[("async", "true"), ("depth", "1")]));
    let meta = parse("/~meta@1.0/info/address").unwrap();
    assert!(meta[0].is_device("meta@1.0") && meta[1].is("Info") && !meta[0].is("meta@1.0"));
}

#[test]
fn json_at_the_end_and_a_last_slash_change_nothing() {
    assert_eq!(parse("/x/now/~json@1.0/serialize"), parse("/x/now"));
    assert_eq!(parse("/x/now/"), parse("/x/now"));
    assert!(matches!(parse("/x//now"), Err(PathError::Step(_))));
}

#[test]
fn tags_of_a_dry_run_are_taken_as_aoconnect_writes_them() {
    let steps = parse("/x~process@1.0/as=execution/compute&Action=Info%20a/b&c=d%&X=%C3%BCn%20%3F%23+&e").unwrap();
    assert_eq!(steps.len(), 3);
    assert_eq!(steps[2].name, "compute");
    assert_eq!(steps[2].keys, pairs(&[("Action", "Info a/b"), ("c", "d%"), ("X", "ün ?#+&e")]));
    let long = format!("/x/as=execution/compute&Note={}", "n".repeat(4_000));
    assert_eq!(parse(&long).unwrap()[2].key("Note").unwrap().len(), 4_000);
    // Only there: elsewhere the slash ends the step, and a long one is refused.
    assert_eq!(parse("/x/compute&a=b/c").unwrap().len(), 3);
    assert_eq!(parse(&format!("/x/compute&a={}", "n".repeat(512))), Err(PathError::LongStep(522)));
}

#[test]
fn what_is_no_path_is_refused_with_words() {
    assert_eq!(parse("/x/(a/b)/c"), Err(PathError::SubPath));
    assert_eq!(parse(&"/a".repeat(17)), Err(PathError::ManySteps));
    assert_eq!(parse(&"/a".repeat(16)).unwrap().len(), 16);
    let keys = |many: usize| format!("/x/as=execution/compute{}", "&a=b".repeat(many));
    assert_eq!(parse(&keys(129)), Err(PathError::ManyKeys));
    assert_eq!(parse(&keys(128)).unwrap()[2].keys.len(), 128);
    assert!(matches!(parse("/x/compute&=b"), Err(PathError::Step(_))));
    assert!(matches!(parse("/x~/compute"), Err(PathError::Step(_))));
}

#[test]
fn codes_are_decoded_and_stray_signs_kept() {
    assert_eq!(decoded("a%2Fb%2f%"), "a/b/%");
    assert_eq!(decoded("%zz%4"), "%zz%4");
    assert_eq!(decoded("%ff"), "\u{fffd}");
    assert_eq!(untyped("slot+integer"), "slot");
    assert_eq!(untyped("a+b"), "a+b");
}
