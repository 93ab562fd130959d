//! The cache of compiled programs on the CPU plugin.

use std::{fs, path::PathBuf, process::Command};

use twinflow_compiler::{
    Cache, CacheTally, HostArray, Jit, Tensor, TensorType, Traced, jit,
    pjrt::{Client, ClientOptions, CompileOptions, Platform, Plugin},
    to_device, to_host,
};

/// Set in the process that the test of two processes starts.
const SHARED_FOLDER: &str = "TWINFLOW_TEST_CACHE_FOLDER";

fn client(devices: usize) -> Client {
    let plugin = Plugin::discover(Platform::Cpu, None).unwrap_or_else(|error| panic!("{error}"));
    Client::new(&plugin, &ClientOptions { cpu_device_count: Some(devices), ..ClientOptions::default() }).unwrap()
}

fn quick() -> CompileOptions {
    CompileOptions::default().with_override("xla_backend_optimization_level", 0i64)
}

/// `(x, y) -> (x + y, the mean of x over replicas)`, the first in x's memory.
fn program(replicas: usize) -> Traced<TensorType, TensorType, (TensorType, TensorType)> {
    jit("add", TensorType::f32([4]), TensorType::f32([4]), |_, x: Tensor<'_>, y: Tensor<'_>| {
        (x + y, x.all_reduce_mean(replicas))
    })
    .unwrap()
}

/// Compiles with a fresh handle on the folder, as a new process would, runs, and gives what the handle counted.
fn run(folder: &std::path::Path, client: &Client, options: &CompileOptions) -> CacheTally {
    let cache = Cache::at(folder, 1 << 30);
    let add = program(options.replicas).compile_cached(client, options, &cache).unwrap();
    let arguments = client.devices()[..options.replicas].iter().enumerate().map(|(i, device)| {
        let array = |value: f32| HostArray::from_slice([4], &[value; 4]).unwrap();
        (to_device(&array(i as f32 + 1.0), device).unwrap(), to_device(&array(10.0), device).unwrap())
    });
    let (x, y): (Vec<_>, Vec<_>) = arguments.unzip();
    let results = add.call_replicas(x, y.iter().collect()).unwrap();
    let mean = (1..=options.replicas).sum::<usize>() as f64 / options.replicas as f64;
    for (i, result) in results.iter().enumerate() {
        let (sum, over_replicas) = to_host(result).unwrap();
        assert_eq!((sum.to_f64(), over_replicas.to_f64()), (vec![i as f64 + 11.0; 4], vec![mean; 4]));
    }
    cache.tally()
}

const COMPILED: CacheTally = CacheTally { loaded: 0, compiled: 1 };
const LOADED: CacheTally = CacheTally { loaded: 1, compiled: 0 };

fn only_file(folder: &std::path::Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[test]
fn a_program_is_compiled_once_and_anew_for_other_options_and_devices() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (client(1), client(2));
    assert_eq!(run(folder.path(), &one, &quick()), COMPILED);
    assert_eq!(run(folder.path(), &one, &quick()), LOADED);
    assert_eq!(run(folder.path(), &one, &CompileOptions::default()), COMPILED);
    assert_eq!(run(folder.path(), &two, &quick()), COMPILED);
    let replicas = CompileOptions { replicas: 2, ..quick() };
    assert_eq!(run(folder.path(), &two, &replicas), COMPILED);
    assert_eq!(run(folder.path(), &two, &replicas), LOADED);
    assert_eq!(Cache::at(folder.path(), 1 << 30).usage().unwrap().programs, 4);
}

#[test]
fn what_is_damaged_or_does_not_load_is_compiled_again_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let client = client(1);
    assert_eq!(run(folder.path(), &client, &quick()), COMPILED);
    let file = only_file(folder.path());
    let whole = fs::read(&file).unwrap();
    let flipped = |place: usize| {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        bytes
    };
    // The last one has a right header, as another plugin's program would have under an equal key.
    let foreign = b"no executable";
    let header =
        [&whole[..40], &(foreign.len() as u64).to_le_bytes(), blake3::hash(foreign).as_bytes(), foreign].concat();
    for bytes in
        [flipped(0), flipped(whole.len() / 2), whole[..whole.len() / 2].to_vec(), whole[..7].to_vec(), vec![], header]
    {
        fs::write(&file, bytes).unwrap();
        assert_eq!(run(folder.path(), &client, &quick()), COMPILED);
        assert_eq!(run(folder.path(), &client, &quick()), LOADED, "it was replaced");
    }
}

#[test]
fn a_loaded_program_still_takes_over_donated_memory() {
    let folder = tempfile::tempdir().unwrap();
    let client = client(1);
    let compile = || {
        let cache = Cache::at(folder.path(), 1 << 30);
        let jit: Jit<TensorType, TensorType, (TensorType, TensorType)> =
            program(1).compile_cached(&client, &quick(), &cache).unwrap();
        (jit.executable().memory().unwrap(), jit, cache.tally())
    };
    let (planned, _, _) = compile();
    let (memory, add, tally) = compile();
    assert_eq!(tally, LOADED);
    assert_eq!(memory.alias, 16, "{memory:?}");
    assert_eq!((memory.argument, memory.output, memory.temp), (planned.argument, planned.output, planned.temp));
    let array = HostArray::from_slice([4], &[1.0f32; 4]).unwrap();
    let device = &client.devices()[0];
    let (x, y) = (to_device(&array, device).unwrap(), to_device(&array, device).unwrap());
    let (sum, _) = (0..3).fold((x, None), |(x, _), _| {
        let (sum, mean) = add.call(x, &y).unwrap();
        (sum, Some(mean))
    });
    assert_eq!(to_host(&sum).unwrap().to_f64(), [4.0; 4]);
}

#[test]
fn a_folder_that_cannot_be_used_costs_nothing_but_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let cache = Cache::at(file.join("cache"), 1 << 30);
    let client = client(1);
    for compiled in 1..=2 {
        program(1).compile_cached(&client, &quick(), &cache).unwrap();
        assert_eq!(cache.tally(), CacheTally { loaded: 0, compiled });
    }
    assert!(cache.check_writable().is_err());
}

#[test]
fn two_processes_at_once_leave_one_whole_program() {
    if let Some(folder) = std::env::var_os(SHARED_FOLDER) {
        run(folder.as_ref(), &client(1), &quick());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "two_processes_at_once_leave_one_whole_program", "--nocapture"]);
        command.env(SHARED_FOLDER, folder.path()).spawn().unwrap()
    };
    let processes = [start(), start()];
    processes.into_iter().for_each(|mut process| assert!(process.wait().unwrap().success()));
    only_file(folder.path());
    assert_eq!(run(folder.path(), &client(1), &quick()), LOADED);
}
