#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

const WASM: &str = "(module (func (export \"seven\") (result i32) (i32.const 7)))";

struct Folder {
    dir: tempfile::TempDir,
    engine: wasmtime::Engine,
}

impl Folder {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), engine: wasmtime::Engine::default() }
    }

    fn cache(&self, most_bytes: u64) -> Cache {
        Cache::open(&self.dir.path().join("compiled"), most_bytes, &self.engine, Tier::Optimised).unwrap()
    }

    /// A cache that holds one module, and that module's id.
    fn with_one(&self) -> (Cache, Id) {
        let (cache, id) = (self.cache(1 << 30), Id::sha256(b"one"));
        cache.keep(id, &self.artefact());
        (cache, id)
    }

    fn artefact(&self) -> Vec<u8> {
        self.engine.precompile_module(&wat::parse_str(WASM).unwrap()).unwrap()
    }
}

fn works(folder: &Folder, module: &wasmtime::Module) -> bool {
    let mut store = wasmtime::Store::new(&folder.engine, ());
    let instance = wasmtime::Instance::new(&mut store, module, &[]).unwrap();
    instance.get_typed_func::<(), i32>(&mut store, "seven").unwrap().call(&mut store, ()).unwrap() == 7
}

#[test]
fn what_was_kept_is_found_in_private_files() {
    let folder = Folder::new();
    let (cache, id) = folder.with_one();
    assert!(works(&folder, &cache.find(&folder.engine, id).unwrap()));
    assert!(cache.find(&folder.engine, Id::sha256(b"two")).is_none());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&cache.dir), 0o700);
    assert_eq!((mode(&cache.path(id, CODE)), mode(&cache.path(id, SUM))), (0o600, 0o600));
    // The file that is mapped may go; what runs stays.
    let module = cache.find(&folder.engine, id).unwrap();
    fs::remove_file(cache.path(id, CODE)).unwrap();
    assert!(works(&folder, &module));
}

#[test]
fn any_flipped_bit_and_any_cut_is_noticed() {
    let folder = Folder::new();
    let (cache, id) = folder.with_one();
    for kind in [CODE, SUM] {
        let path = cache.path(id, kind);
        let good = fs::read(&path).unwrap();
        for at in (0..good.len()).step_by(good.len() / 40 + 1) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(&path, &bad).unwrap();
            assert!(cache.find(&folder.engine, id).is_none(), "{kind} with byte {at} changed was used");
            fs::write(&path, &good[..at]).unwrap();
            assert!(cache.find(&folder.engine, id).is_none(), "{kind} cut to {at} bytes was used");
        }
        fs::write(&path, &good).unwrap();
    }
    assert!(cache.find(&folder.engine, id).is_some());
}

#[test]
fn code_of_another_module_engine_or_compiler_is_not_used() {
    let folder = Folder::new();
    let (cache, id) = folder.with_one();
    let other = Id::sha256(b"other");
    for kind in [CODE, SUM] {
        fs::copy(cache.path(id, kind), cache.path(other, kind)).unwrap();
    }
    assert!(cache.find(&folder.engine, other).is_none(), "the code of another module was used");
    let engine = wasmtime::Engine::new(wasmtime::Config::new().consume_fuel(true)).unwrap();
    let fuelled = Cache::open(&cache.dir, 1 << 30, &engine, Tier::Optimised).unwrap();
    let baseline = Cache::open(&cache.dir, 1 << 30, &folder.engine, Tier::Baseline).unwrap();
    for cache in [fuelled, baseline] {
        assert!(cache.find(&folder.engine, id).is_none());
        assert_ne!(cache.environment, folder.cache(1 << 30).environment);
    }
}

#[test]
fn links_and_files_that_others_may_change_are_not_used() {
    let folder = Folder::new();
    let (cache, id) = folder.with_one();
    for kind in [CODE, SUM] {
        let path = cache.path(id, kind);
        for mode in [0o620, 0o602, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(cache.find(&folder.engine, id).is_none(), "{kind} of mode {mode:o} was used");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let beside = folder.dir.path().join(kind);
        fs::rename(&path, &beside).unwrap();
        symlink(&beside, &path).unwrap();
        assert!(cache.find(&folder.engine, id).is_none(), "{kind} behind a link was used");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(cache.find(&folder.engine, id).is_none(), "a folder was used");
        fs::remove_dir(&path).unwrap();
        fs::rename(&beside, &path).unwrap();
    }
    assert!(cache.find(&folder.engine, id).is_some());
}

#[test]
fn the_folder_is_bounded_and_what_was_used_last_stays() {
    let folder = Folder::new();
    let artefact = folder.artefact();
    let most = 3 * (artefact.len() + HASH_LEN) as u64;
    let cache = folder.cache(most);
    let ids: Vec<Id> = (0..4_u8).map(|number| Id::sha256(&[number])).collect();
    let age = |id: Id, seconds: u64| {
        let file = File::options().write(true).open(cache.path(id, CODE)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
    };
    for (id, seconds) in ids[..3].iter().zip([300, 200, 100]) {
        cache.keep(*id, &artefact);
        age(*id, seconds);
    }
    // The oldest is used, so that the second is the one to go.
    assert!(cache.find(&folder.engine, ids[0]).is_some());
    cache.keep(ids[3], &artefact);
    let found = |cache: &Cache| ids.iter().map(|id| cache.find(&folder.engine, *id).is_some()).collect::<Vec<_>>();
    assert_eq!(found(&cache), [true, false, true, true]);
    assert!(!cache.path(ids[1], SUM).exists(), "a hash was left alone");
    for (id, seconds) in [(ids[0], 30), (ids[2], 20), (ids[3], 10)] {
        age(id, seconds);
    }
    // What former versions and dead processes left goes at the start, and so does what is too much by then.
    fs::write(cache.dir.join("former.artefact"), b"x").unwrap();
    let dead = cache.dir.join("dead.tmp");
    fs::write(&dead, b"x").unwrap();
    File::options().write(true).open(&dead).unwrap().set_modified(SystemTime::now() - 2 * ABANDONED).unwrap();
    let smaller = folder.cache(most / 3);
    assert_eq!(found(&smaller), [false, false, false, true]);
    assert_eq!(fs::read_dir(&cache.dir).unwrap().count(), 2);
    let none = folder.cache(0);
    none.keep(ids[0], &artefact);
    assert_eq!(found(&none), [false; 4]);
}
