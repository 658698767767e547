//! Configuration and errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;

#[test]
fn what_is_no_gateway_is_named() {
    assert!(matches!(Gateway::new(GatewayConfig::new(vec![])), Err(GatewayError::NoGateway)));
    for url in ["localhost:4000", "ftp://x", "", "http://"] {
        let error = Gateway::new(GatewayConfig::new(vec![url.to_owned()])).unwrap_err();
        assert!(error.to_string().contains("http://HOST:PORT"), "{error}");
    }
    let gateway = Gateway::new(GatewayConfig::new(vec!["http://127.0.0.1:4000/".to_owned()])).unwrap();
    assert_eq!(gateway.urls(), ["http://127.0.0.1:4000"]);
}
