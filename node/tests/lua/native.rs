//! What C does for the process: JSON, base64, SHA-256, wide integers. And that the binary is what its sources give.

use std::process::Command;

use proptest::prelude::*;
use serde_json::{Value, json};
use weft_node::compute::on_evaluation_stack;

use super::*;

/// A JSON value as Lua can hold it: no null in lists, no empty object (Lua's empty table is an empty list), no fraction
/// that decimal digits do not say.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|n| Value::from(f64::from(n) + 0.5)),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(".{0,8}", inner, 1..6).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn json_goes_in_and_comes_out_the_same(value in any_json()) {
        let lua = lua();
        on_evaluation_stack(|| {
            let mut process = Process::booted(&lua, &[], " ");
            process.eval("Handlers.add('j', 'J', function(m) m.reply({ Data = require('json').encode(require('json').decode(m.Data)) }) end)");
            let answer = process.hear_other("J", &[], &value.to_string());
            let back: Value = serde_json::from_str(answer["Messages"][0]["Data"].as_str().unwrap()).unwrap();
            assert_eq!(back, value);
        }).unwrap();
    }

    /// Wide integers against Rust's 128-bit ones.
    #[test]
    fn wide_integers_calculate_as_they_should(a in any::<i128>(), b in any::<i128>(), shift in 0..127_u32) {
        let lua = lua();
        on_evaluation_stack(|| {
            let mut process = Process::booted(&lua, &[], " ");
            let say = |process: &mut Process, what: &str| {
                process.eval(&format!("local bint = require('.bint')(128); local a, b = bint('{a}'), bint('{b}'); return tostring({what})"))
            };
            assert_eq!(say(&mut process, "a + b"), a.wrapping_add(b).to_string());
            assert_eq!(say(&mut process, "a - b"), a.wrapping_sub(b).to_string());
            assert_eq!(say(&mut process, "a * b"), a.wrapping_mul(b).to_string());
            assert_eq!(say(&mut process, "-a"), a.wrapping_neg().to_string());
            assert_eq!(say(&mut process, "a < b"), (a < b).to_string());
            assert_eq!(say(&mut process, "a <= b"), (a <= b).to_string());
            assert_eq!(say(&mut process, &format!("a << {shift}")), (a << shift).to_string());
            assert_eq!(say(&mut process, &format!("a >> {shift}")), ((a.cast_unsigned() >> shift).cast_signed()).to_string());
            assert_eq!(say(&mut process, "bint.frombase(bint.tobase(a, 16), 16) == a"), "true");
            assert_eq!(say(&mut process, "bint.fromle(bint.tole(a)) == a and bint.frombe(bint.tobe(a)) == a"), "true");
            if b != 0 && !(a == i128::MIN && b == -1) {
                let floor = a.div_euclid(b) - i128::from(b < 0 && a.rem_euclid(b) != 0);
                assert_eq!(say(&mut process, "a // b"), floor.to_string());
                assert_eq!(say(&mut process, "bint.tdiv(a, b)"), (a / b).to_string());
                assert_eq!(say(&mut process, "bint.tmod(a, b)"), (a % b).to_string());
                assert_eq!(say(&mut process, "(a // b) * b + a % b == a"), "true");
                let unsigned = a.cast_unsigned() / b.cast_unsigned();
                assert_eq!(say(&mut process, "bint.tobase(bint.udiv(a, b), 10, true)"), unsigned.to_string());
            }
        }).unwrap();
    }

    #[test]
    fn bytes_survive_base64(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let lua = lua();
        on_evaluation_stack(|| {
            let mut process = Process::booted(&lua, &[], " ");
            let list = bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(",");
            let code = format!("local b, s = require('.base64'), string.char({list}); return tostring(b.decode(b.encode(s)) == s and b.decode(b.encode_url(s)) == s and not b.encode_url(s):find('[=+/]'))");
            assert_eq!(process.eval(&code), "true");
        }).unwrap();
    }
}

#[test]
fn digests_are_the_standards() {
    // The standard's longest text has a million bytes.
    let lua = super::lua_within(400_000_000);
    on_evaluation_stack(|| {
        let mut process = Process::booted(&lua, &[], " ");
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(process.eval("return require('.crypto').digest.sha2_256('abc').asHex()"), abc);
        let stream = "local c = require('.crypto'); return c.digest.sha2_256(c.utils.stream.fromString('abc')).asHex()";
        assert_eq!(process.eval(stream), abc);
        let long = "return require('.crypto').digest.sha2_256(('a'):rep(1000000)).asHex()";
        assert_eq!(process.eval(long), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
        // RFC 4231, test case 2.
        let hmac = "return require('.crypto').mac.createHmac('what do ya want for nothing?', 'Jefe').asHex()";
        assert_eq!(process.eval(hmac), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert_eq!(process.eval("return require('.base64').encode('hello?>')"), "aGVsbG8/Pg==");
    })
    .unwrap();
}

#[test]
fn wrong_json_and_wrong_integers_say_where_and_why() {
    let lua = lua();
    on_evaluation_stack(|| {
        let mut process = Process::booted(&lua, &[], " ");
        for (code, says) in [
            (r#"return require("json").decode('{"a":1,\n}')"#, "JSON: a member's name is missing at line 2 column 1"),
            (
                r#"return require("json").decode("[1 2]")"#,
                "JSON: a comma or a closing bracket is missing at line 1 column 4",
            ),
            (r#"return require("json").encode({1, 2, nil, 4})"#, "sparse"),
            (r#"return require("json").encode({print})"#, "unexpected type 'function'"),
            (r#"return require("json").encode(0/0)"#, "unexpected number"),
            (r#"return require(".bint")(256)("1.5")"#, "cannot be represented"),
            (r#"return require(".bint")(256)(1) // 0"#, "division by zero"),
            (r#"return require(".bint")(33)"#, "32 to 8192 bits"),
            (r#"return require("nothing")"#, "module 'nothing' not found"),
        ] {
            let error = process.error(code);
            assert!(error.contains(says), "{code}: {error}");
        }
    })
    .unwrap();
}

#[test]
fn rebuilding_gives_the_committed_binary() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/lua/build.sh");
    let output = Command::new(script).arg("--check").output().unwrap();
    match output.status.code() {
        Some(0) => {}
        // No compiler, or one that gives other bytes: where the recipe can be repeated is CI's business.
        Some(2) => eprintln!("not compared: {}", String::from_utf8_lossy(&output.stderr)),
        _ => panic!("{}", String::from_utf8_lossy(&output.stderr)),
    }
}
