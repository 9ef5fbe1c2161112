//! Epochs survive crashes at every operation and are never believed when damaged.

use super::*;
use crate::durable::{RealDisk, SimulatedDisk};

const PATH: &str = "ck";

/// The state of a shard in an epoch, that of shard 1 longer than a block.
fn state(epoch: u64, shard: u32) -> Vec<Section> {
    let bytes = |length: u64| (0..length).map(|at| (at * 31 + epoch) as u8).collect();
    let length = if shard == 1 { 70_000 } else { 40 };
    vec![
        Section { node: 2, scope: Scope::Whole, bytes: bytes(5) },
        Section { node: 3, scope: Scope::KeyGroup(4095), bytes: bytes(length) },
        Section { node: 3, scope: Scope::Part(70_000), bytes: bytes(9) },
    ]
}

fn save(store: &Store, epoch: u64) -> Result<()> {
    let written = [store.write(epoch, 0, &state(epoch, 0))?, store.write(epoch, 1, &state(epoch, 1))?];
    store.commit(epoch, &written, format!("epoch {epoch}").as_bytes())
}

fn check(epoch: &Epoch) {
    let number = epoch.number;
    assert_eq!(epoch.shards, [state(number, 0), state(number, 1)]);
    assert_eq!(epoch.job, format!("epoch {number}").as_bytes());
}

fn open(disk: &SimulatedDisk) -> Result<(Store, Vec<u8>)> {
    Store::open(Arc::new(disk.clone()), PATH)
}

#[test]
fn the_last_epochs_are_kept_and_a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join(PATH).to_str().unwrap().to_owned();
    let disks: [(Arc<dyn Durable>, &str); 2] = [(Arc::new(SimulatedDisk::new()), PATH), (Arc::new(RealDisk), &real)];
    for (disk, path) in disks {
        let store = Store::create(disk.clone(), path, b"a job").unwrap();
        assert!(Store::open(disk.clone(), path).unwrap_err().to_string().contains("another process"));
        assert_eq!(store.newest().unwrap(), None);
        for epoch in 1..=11 {
            save(&store, epoch).unwrap();
            assert!(!store.newest().unwrap().unwrap().is_settled);
            store.settle(epoch).unwrap();
            store.settle(epoch).unwrap();
        }
        assert_eq!(store.epochs().unwrap(), [9, 10, 11]);
        store.write(12, 0, &state(12, 0)).unwrap();
        drop(store);
        assert!(Store::create(disk.clone(), path, b"a job").unwrap_err().to_string().contains("another run"));
        let (store, job) = Store::open(disk, path).unwrap();
        let newest = store.newest().unwrap().unwrap();
        assert_eq!((job, newest.number, newest.is_settled), (b"a job".to_vec(), 11, true));
        check(&newest);
        save(&store, 12).unwrap();
        check(&store.newest().unwrap().unwrap());
    }
}

/// Five epochs; returns the last one that was said to be committed.
fn work(disk: &SimulatedDisk) -> (bool, u64) {
    let mut committed = 0;
    let Ok(store) = Store::create(Arc::new(disk.clone()), PATH, b"a job") else { return (false, 0) };
    for epoch in 1..=5 {
        if save(&store, epoch).is_err() {
            break;
        }
        committed = epoch;
        if store.settle(epoch).is_err() {
            break;
        }
    }
    (true, committed)
}

fn operations() -> u64 {
    let disk = SimulatedDisk::new();
    assert_eq!(work(&disk), (true, 5));
    disk.operations()
}

#[test]
fn a_power_cut_at_any_operation_leaves_the_last_epoch_or_the_next() {
    for operation in 1..=operations() + 1 {
        for seed in 0..8 {
            let disk = SimulatedDisk::new();
            disk.die_at(operation);
            let (created, committed) = work(&disk);
            disk.power_cut(seed << 32 | operation);
            let (store, job) = match open(&disk) {
                Ok(opened) => opened,
                Err(error) => {
                    assert!(!created, "operation {operation}, seed {seed}: {error}");
                    assert_eq!(work(&disk), (true, 5), "begun again after operation {operation}, seed {seed}");
                    continue;
                }
            };
            assert_eq!(job, b"a job");
            let newest = store.newest().unwrap_or_else(|error| panic!("operation {operation}, seed {seed}: {error}"));
            let number = newest.as_ref().map_or(0, |epoch| epoch.number);
            assert!(number == committed || number == committed + 1, "operation {operation}, seed {seed}: {number}");
            newest.iter().for_each(check);
            save(&store, number + 1).unwrap();
            store.settle(number + 1).unwrap();
            check(&store.newest().unwrap().unwrap());
        }
    }
}

#[test]
fn after_a_failed_operation_nothing_more_is_committed() {
    for operation in 1..=operations() {
        let disk = SimulatedDisk::new();
        disk.fail_at(operation);
        let Ok(store) = Store::create(Arc::new(disk.clone()), PATH, b"a job") else { continue };
        let mut failed = false;
        for epoch in 1..=5 {
            let done = save(&store, epoch).and_then(|()| store.settle(epoch));
            assert!(!failed || done.is_err(), "operation {operation}");
            failed = done.is_err();
        }
        assert!(failed, "operation {operation} was done by somebody");
        drop(store);
        open(&disk).unwrap().0.newest().unwrap().iter().for_each(check);
    }
}

#[test]
fn damage_is_found_wherever_it_is() {
    let made = || {
        let disk = SimulatedDisk::new();
        let store = Store::create(Arc::new(disk.clone()), PATH, b"a job").unwrap();
        let written = store.write(7, 0, &state(7, 0)).unwrap();
        store.commit(7, &[written], b"positions").unwrap();
        disk
    };
    let disk = made();
    let is_found = |name: &str| match open(&disk).and_then(|(store, _)| store.newest()) {
        Ok(_) => false,
        Err(error) => error.to_string().contains(name),
    };
    for name in [format!("{PATH}/JOB"), format!("{PATH}/7/MANIFEST"), format!("{PATH}/7/shard-0.ck")] {
        let whole = disk.read(&name).unwrap();
        assert!(!is_found(&name));
        let with = |bytes: Vec<u8>| disk.damage(&name, |file| *file = bytes).unwrap();
        for at in 0..whole.len() {
            for mask in [1, 0x80] {
                let mut bytes = whole.clone();
                bytes[at] ^= mask;
                with(bytes);
                assert!(is_found(&name), "{name}, byte {at}");
            }
        }
        for length in 0..whole.len() {
            with(whole[..length].to_vec());
            assert!(is_found(&name), "{name} cut to {length}");
        }
        with([&whole[..], &whole].concat());
        assert!(is_found(&name), "{name} doubled");
        with([&whole[block::ALIGN..], &whole[..block::ALIGN]].concat());
        assert!(is_found(&name), "{name} with its blocks swapped");
        let mut bytes = whole.clone();
        bytes[..512].fill(0);
        with(bytes);
        assert!(is_found(&name), "{name} with a sector of zeros");
        with(whole);
        assert!(!is_found(&name));
    }
    let name = format!("{PATH}/7/shard-0.ck");
    for (epoch, shard) in [(8, 0), (7, 1)] {
        let other = block::encode(Label { kind: Kind::State, epoch, shard }, b"");
        disk.damage(&name, |file| *file = other).unwrap();
        assert!(is_found(&name), "the file of epoch {epoch}, shard {shard}");
    }
    let other = block::encode(Label { kind: Kind::State, epoch: 7, shard: 0 }, &[0; 8]);
    disk.damage(&name, |file| *file = other).unwrap();
    assert!(is_found(&name), "another file of the same place");
    disk.remove(&name).unwrap();
    assert!(is_found(&name), "no file");
}
