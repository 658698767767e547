#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;

#[test]
fn literal_routes_win_over_braces() {
    assert_eq!(classify("/timestamp").unwrap().template, "/timestamp");
    assert_eq!(classify("/abc").unwrap().template, "/{id}");
    assert_eq!(classify("/abc/latest").unwrap().template, "/{pid}/latest");
    assert_eq!(classify("/v1/processes/x/messages/y").unwrap().template, "/v1/processes/{pid}/messages/{id}");
    assert!(classify("/a/b/c/d").is_none());
    assert!(classify("/result/").is_none());
}

#[test]
fn a_slip_of_the_finger_finds_its_route() {
    assert_eq!(nearest("/reslts/{pid}")[0], "/results/{pid}");
    assert_eq!(nearest("/dryrun")[0], "/dry-run");
    assert_eq!(nearest("/v1/proceses")[0], "/v1/processes");
    assert_eq!(distance("kitten", "sitting"), 3);
}
