//! A file that was changed is noticed, and never read wrongly.

mod fixture;

use std::{fs, path::Path};

use fixture::{metadata, save_in, state};
use tempfile::tempdir;
use twinflow_checkpoints::{Checkpoint, CheckpointError, newest_valid, resolve, verify};

/// Reads all there is.
fn read(path: &Path) -> Result<(), CheckpointError> {
    let checkpoint = Checkpoint::open(path)?;
    let arrays = checkpoint.read_all()?;
    assert_eq!(arrays, state(3), "wrong data without an error");
    assert_eq!(checkpoint.metadata(), &metadata(3), "wrong metadata without an error");
    Ok(())
}

#[test]
fn every_flipped_bit_is_noticed() {
    let folder = tempdir().unwrap();
    let path = save_in(folder.path(), 3, &state(3));
    let whole = fs::read(&path).unwrap();
    // An odd stride visits every bit position; the last bytes, which are the trailer, one by one.
    let sampled = (0..whole.len() * 8).step_by(107).chain((whole.len() - 200) * 8..whole.len() * 8);
    for bit in sampled {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &damaged).unwrap();
        assert!(read(&path).is_err(), "bit {bit} of {}", whole.len() * 8);
        let report = verify(&path).and_then(|report| report.into_result());
        assert!(report.is_err(), "bit {bit}: {report:?}");
    }
}

#[test]
fn zeroed_and_swapped_blocks_are_noticed() {
    let folder = tempdir().unwrap();
    let path = save_in(folder.path(), 3, &state(3));
    let whole = fs::read(&path).unwrap();
    for at in (0..whole.len() - 512).step_by(512) {
        let (mut zeroed, mut moved) = (whole.clone(), whole.clone());
        zeroed[at..at + 512].fill(0);
        moved.copy_within(at..at + 512, (at + 4096) % (whole.len() - 512));
        for damaged in [zeroed, moved] {
            fs::write(&path, &damaged).unwrap();
            assert_eq!(read(&path).is_ok(), damaged == whole, "block at {at}");
        }
    }
}

#[test]
fn a_file_cut_short_or_lengthened_is_noticed() {
    let folder = tempdir().unwrap();
    let path = save_in(folder.path(), 3, &state(3));
    let whole = fs::read(&path).unwrap();
    for len in (0..whole.len()).step_by(97).chain(whole.len() - 40..whole.len()) {
        fs::write(&path, &whole[..len]).unwrap();
        assert!(matches!(read(&path), Err(CheckpointError::NoTrailer { .. })), "{len} bytes");
    }
    fs::write(&path, [&whole[..], &[0]].concat()).unwrap();
    assert!(matches!(read(&path), Err(CheckpointError::NoTrailer { .. })));
}

#[test]
fn messages_name_the_array_and_both_sums_or_the_kind_of_file() {
    let folder = tempdir().unwrap();
    let path = save_in(folder.path(), 3, &state(3));
    let mut bytes = fs::read(&path).unwrap();
    let key: Vec<u8> = [3u32, 77].iter().flat_map(|word| word.to_le_bytes()).collect();
    let at = bytes.windows(8).position(|window| window == key).unwrap();
    bytes[at] = 4;
    fs::write(&path, &bytes).unwrap();
    let [stored, computed] = [[3u32, 77], [4, 77]].map(|words| crc32fast::hash(&words.map(u32::to_le_bytes).concat()));
    let expected = format!(
        "{} is damaged: 'key' has checksum {computed:08x}, written as {stored:08x}; use another checkpoint",
        path.display()
    );
    let error = read(&path).unwrap_err();
    assert_eq!(error.to_string(), expected);
    assert!(error.is_damage());
    let report = verify(&path).unwrap();
    assert!(report.to_string().contains("DAMAGED: step 3, 8 arrays"), "{report}");
    assert!(report.to_string().ends_with(&format!("\n  key: checksum {computed:08x}, written as {stored:08x}")));

    fs::write(&path, "no HDF5 at all, but longer than a trailer would be").unwrap();
    let error = read(&path).unwrap_err();
    assert!(error.to_string().contains("is not a complete checkpoint"), "{error}");
    assert!(!error.is_damage(), "no checksum says so");
}

#[test]
fn the_newest_valid_checkpoint_is_found_past_damaged_and_unfinished_ones() {
    let folder = tempdir().unwrap();
    let checkpoints = folder.path().join("checkpoints");
    assert!(newest_valid(&checkpoints).unwrap().is_none(), "a folder that is not there holds none");
    fs::create_dir(&checkpoints).unwrap();
    assert!(matches!(resolve(folder.path()), Err(CheckpointError::NoCheckpoint { .. })));
    assert!(matches!(resolve(&checkpoints.join("gone")), Err(CheckpointError::Io { .. })));
    let paths: Vec<_> = (1..=4).map(|step| save_in(&checkpoints, step, &state(step as u32))).collect();
    fs::write(checkpoints.join("step-00000009.h5.partial-1-0"), "a writer was killed here").unwrap();
    fs::write(checkpoints.join("step-notes.h5"), "not ours").unwrap();
    let newest = || newest_valid(&checkpoints).unwrap().map(|(path, _)| path);
    assert_eq!(newest().as_ref(), Some(&paths[3]));
    fs::write(&paths[3], &fs::read(&paths[3]).unwrap()[..5000]).unwrap();
    assert_eq!(newest().as_ref(), Some(&paths[2]));
    let mut bytes = fs::read(&paths[2]).unwrap();
    let key: Vec<u8> = [3u32, 77].iter().flat_map(|word| word.to_le_bytes()).collect();
    let at = bytes.windows(8).position(|window| window == key).unwrap();
    bytes[at] ^= 0x80;
    fs::write(&paths[2], &bytes).unwrap();
    assert_eq!(newest().as_ref(), Some(&paths[1]), "damaged data count too");
    for place in [folder.path(), &checkpoints, &paths[1]] {
        assert_eq!(resolve(place).unwrap(), paths[1], "{}", place.display());
    }
    paths[..2].iter().for_each(|path| fs::write(path, "").unwrap());
    let error = resolve(folder.path()).unwrap_err().to_string();
    assert!(error.starts_with("all 4 checkpoints in") && error.contains("newest: /"), "{error}");
    assert!(error.contains("step-00000004.h5 is not a complete checkpoint"), "{error}");
}
