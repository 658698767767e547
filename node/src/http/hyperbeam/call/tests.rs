#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn pid() -> Id {
    Id::sha256(b"process")
}

fn asked(path: &str) -> Call {
    read(&path.replace("PID", &pid().to_string())).unwrap_or_else(|refused| panic!("{path}: {refused}"))
}

#[test]
fn what_aoconnect_asks_for() {
    let process = pid();
    let named = |at: &str| Call::Compute { process, at: At::Named(at.into()), keys: vec![] };
    assert_eq!(asked("/~meta@1.0/info/address"), Call::Info(vec!["address".into()]));
    assert_eq!(asked("/push"), Call::Submit { process: None, wait: true });
    assert_eq!(asked("/PID~process@1.0/push"), Call::Submit { process: Some(process), wait: true });
    assert_eq!(asked("/PID~process@1.0/compute/results=5"), named("5"));
    assert_eq!(asked(&format!("/PID~process@1.0/compute/results={process}")), named(&process.to_string()));
    assert_eq!(asked("/PID/slot/current"), Call::Slot { process, bare: true });
    assert_eq!(asked("/PID/compute/results=7"), named("7"));
    let tags = vec![("Action".to_owned(), "Info".to_owned())];
    assert_eq!(asked("/PID~process@1.0/as=execution/compute&Action=Info"), Call::DryRun { process, tags });
    assert_eq!(asked("/PID~process@1.0/as=execution/compute"), Call::DryRun { process, tags: vec![] });
}

#[test]
fn what_others_ask_for() {
    let process = pid();
    assert_eq!(asked("/~meta@1.0/info/~json@1.0/serialize"), Call::Info(vec![]));
    assert_eq!(asked("/~meta@1.0/build"), Call::Build);
    assert_eq!(asked("/~scheduler@1.0/schedule"), Call::Schedule { process: None, keys: vec![] });
    let keys = vec![("from".to_owned(), "3".to_owned())];
    assert_eq!(asked("/PID~scheduler@1.0/schedule&from=3"), Call::Schedule { process: Some(process), keys });
    assert_eq!(asked("/PID/push&async"), Call::Submit { process: Some(process), wait: false });
    assert_eq!(asked("/PID/push&slot=7"), Call::PushAgain { process, slot: "7".into(), first: None });
    assert_eq!(
        asked("/PID/push&slot=7&from=64"),
        Call::PushAgain { process, slot: "7".into(), first: Some("64".into()) }
    );
    assert_eq!(asked("/PID~process@1.0/slot"), Call::Slot { process, bare: false });
    assert_eq!(asked("/PID~Process@1.0"), Call::Process(process));
    for path in ["/PID/compute=3/results/raw", "/PID/compute&slot+integer=3/results/raw"] {
        let keys = vec!["results".into(), "raw".into()];
        assert_eq!(asked(path), Call::Compute { process, at: At::Named("3".into()), keys }, "{path}");
    }
    assert_eq!(asked("/PID/compute"), Call::Compute { process, at: At::Newest, keys: vec![] });
    let keys = vec!["results".into(), "data".into()];
    assert_eq!(asked("/PID~process@1.0/now/results/data"), Call::Compute { process, at: At::Head, keys });
}

#[test]
fn what_leads_nowhere_says_what_does() {
    let refused = |path: &str| read(&path.replace("PID", &pid().to_string())).unwrap_err();
    for (path, word) in [
        ("/PID/nonsense", "slot/current"),
        ("/PID~wasm@1.0/now", "process@1.0"),
        ("/~cron@1.0/every", "Cron-Interval"),
        ("/~meta@1.0/wallet", "info and build"),
        ("/~scheduler@1.0", "schedule"),
        ("/PID/as=other/compute", "as=execution"),
        ("/PID/slot/current/more", "slot/current"),
    ] {
        let reason = refused(path);
        assert!(reason.to_string().contains(word) && !reason.is_malformed(), "{path}: {reason}");
    }
    assert!(refused("/PID/(now)").is_malformed());
    assert!(is_ours("/~cron@1.0/every") && is_ours(&format!("/{}/x", pid())) && !is_ours("/results/abc"));
}

proptest! {
    #[test]
    fn whatever_is_asked_is_refused_or_has_a_route(
        start in "(/PID(~process@1.0)?|/~meta@1.0|/~scheduler@1.0|/push|)",
        verb in "(/push|/schedule|/slot|/compute|/now|/as=execution/compute|/info|)",
        rest in "([/&=~+%(][a-zA-Z0-9_~@.=&+%()-]{0,12}){0,18}",
    ) {
        let path = format!("{start}{verb}{rest}").replace("PID", &pid().to_string());
        if let Ok(call) = read(&path) {
            let routes = crate::http::route_list();
            prop_assert!(routes.iter().any(|(_, template)| *template == call.template()), "{}: {:?}", path, call);
        }
    }

    #[test]
    fn a_slot_is_found_wherever_it_is_written(slot in any::<u64>()) {
        for path in [format!("/PID/compute={slot}"), format!("/PID~process@1.0/compute&slot={slot}"), format!("/PID/compute/results={slot}")] {
            let wanted = Call::Compute { process: pid(), at: At::Named(slot.to_string()), keys: vec![] };
            prop_assert_eq!(asked(&path), wanted);
        }
    }
}
