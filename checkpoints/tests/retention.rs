//! Which checkpoints stay in a folder.

mod fixture;

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use fixture::{save_in, state};
use tempfile::tempdir;
use twinflow_checkpoints::{Retention, list};

fn steps(folder: &Path) -> Vec<u64> {
    list(folder).unwrap().into_iter().map(|(step, _)| step).collect()
}

#[test]
fn the_last_few_and_every_nth_stay() {
    let all = [0, 5, 10, 12, 20, 21];
    let cases: [(usize, Option<u64>, &[u64]); 6] = [
        (2, None, &[20, 21]),
        (2, Some(10), &[0, 10, 20, 21]),
        (1, Some(12), &[0, 12, 21]),
        (9, None, &all),
        (0, None, &[21]),
        (1, Some(0), &[21]),
    ];
    let arrays = &state(1)[..1];
    for (keep_last, keep_every, kept) in cases {
        let folder = tempdir().unwrap();
        all.iter().for_each(|step| drop(save_in(folder.path(), *step, arrays)));
        let deleted = Retention { keep_last, keep_every }.apply(folder.path()).unwrap();
        assert_eq!(steps(folder.path()), kept, "keep {keep_last} {keep_every:?}");
        assert_eq!(deleted.len(), all.len() - kept.len());
    }
}

#[test]
fn the_newest_valid_one_stays_when_newer_ones_are_damaged() {
    let folder = tempdir().unwrap();
    let paths: Vec<_> = (1..=4).map(|step| save_in(folder.path(), step, &state(1))).collect();
    fs::write(&paths[3], "damaged").unwrap();
    fs::write(&paths[2], "damaged").unwrap();
    Retention { keep_last: 1, keep_every: None }.apply(folder.path()).unwrap();
    assert_eq!(steps(folder.path()), [2, 4]);
    fs::write(&paths[1], "damaged").unwrap();
    Retention { keep_last: 1, keep_every: None }.apply(folder.path()).unwrap();
    assert_eq!(steps(folder.path()), [2, 4], "with none valid, all stay");
}

#[test]
fn only_old_unfinished_files_go() {
    let folder = tempdir().unwrap();
    let touch = |name: &str, age: u64| {
        let file = fs::File::create(folder.path().join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
    };
    touch("step-00000001.h5.partial-1-0", 7200);
    touch("step-00000002.h5.partial-2-0", 60);
    touch("mine.partial", 7200);
    let apply = || Retention { keep_last: 3, keep_every: None }.apply(folder.path()).unwrap();
    assert!(apply().is_empty(), "without a finished checkpoint there is nothing to compare with");
    save_in(folder.path(), 3, &state(1));
    assert_eq!(apply(), [folder.path().join("step-00000001.h5.partial-1-0")]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}
