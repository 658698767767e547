//! Random histories of appends, reopenings and index losses against a plain list.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<Vec<u8>>),
    Reopen,
    LoseIndex,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 1..5).prop_map(Step::Append),
        2 => Just(Step::Reopen),
        1 => Just(Step::LoseIndex),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_a_list(steps in prop::collection::vec(step(), 1..20)) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Some(open(folder.path()));
        let mut list: Vec<Vec<u8>> = Vec::new();
        for step in steps {
            match step {
                Step::Append(records) => {
                    append(store.as_ref().unwrap(), &records.iter().map(Vec::as_slice).collect::<Vec<_>>());
                    list.extend(records);
                }
                Step::Reopen => {
                    drop(store.take());
                    store = Some(open(folder.path()));
                }
                Step::LoseIndex => {
                    drop(store.take());
                    std::fs::remove_dir_all(folder.path().join("index")).unwrap();
                    store = Some(open(folder.path()));
                }
            }
            prop_assert_eq!(contents(store.as_ref().unwrap()), list.clone());
        }
    }
}
