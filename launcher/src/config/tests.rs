//! Messages about settings, as the user sees them.

use twinflow_compiler::stablehlo::Products;

use super::*;

/// The message with its place and help, as the user sees it but for colours.
fn refused(text: &str, assignments: &[&str]) -> String {
    let assignments: Vec<String> = assignments.iter().map(|text| (*text).to_owned()).collect();
    let error = Config::from_text("c.toml", text, &assignments).unwrap_err();
    let mut out = String::new();
    miette::NarratableReportHandler::new().render_report(&mut out, &error).unwrap();
    out
}

fn check(out: &str, parts: &[&str]) {
    parts.iter().for_each(|part| assert!(out.contains(part), "'{part}' is not in:\n{out}"));
}

#[test]
fn unknown_keys_name_the_nearest_and_their_line() {
    let out = refused("[run]\nname = \"a\"\n[device]\nplatfrom = \"cpu\"\n", &[]);
    check(&out, &["unknown key 'device.platfrom'", "did you mean 'platform'?", "memory_fraction", "c.toml", "line 4"]);
    check(&refused("[devices]\n", &[]), &["unknown key 'devices'", "did you mean 'device'?"]);
}

#[test]
fn wrong_values_say_what_was_found_and_what_is_allowed() {
    let out = refused("[device]\nplatform = \"gpu\"\n", &[]);
    check(&out, &["device.platform is \"gpu\", but must be one of \"auto\", \"cpu\", \"cuda\"", "line 2"]);
    let out = refused("[device]\ndevices = \"two\"\n", &[]);
    check(&out, &["device.devices is \"two\", but must be a whole number, 0 or more"]);
    check(&refused("[device]\ndevices = -1\n", &[]), &["device.devices is -1", "a whole number, 0 or more"]);
    check(&refused("[device]\nmemory_fraction = 1.5\n", &[]), &["device.memory_fraction: must lie above 0"]);
    check(&refused("device = 3\n", &[]), &["device is 3"]);
    check(&refused("[device\n", &[]), &["not valid TOML", "line 1"]);
}

#[test]
fn what_may_stand_in_a_place_is_told_for_every_type() {
    let out = |setting: &str| refused("", &[setting]);
    check(&out("run.name=[1]"), &["run.name is [1], but must be a text"]);
    check(&out("data.flip=yes"), &["data.flip is \"yes\", but must be true or false"]);
    check(&out("train.ema_decay=true"), &["train.ema_decay is true, but must be a number"]);
    check(&out("device.optimization_level=fast"), &["is \"fast\", but must be a whole number"]);
    check(&out("run.seed=5000000000"), &["run.seed is 5000000000, but must be a whole number, 0 to 4294967295"]);
    check(&out("optimizer.no_decay=bias"), &["optimizer.no_decay is \"bias\", but must be a list of texts"]);
    check(&out("optimizer.betas=0.9"), &["optimizer.betas is 0.9, but must be a pair of numbers"]);
    check(&out("flow.time_distribution=[1, 2]"), &["flow.time_distribution is [1, 2], but must be three numbers"]);
    check(&out("device.platform=3"), &["device.platform is 3, but must be one of \"auto\", \"cpu\", \"cuda\""]);
    let kinds = "\"dit\", \"mlp\", \"qwen_image\", \"qwen_image_21\", \"sana\", \"sd3\", \"unet\", \"z_image\"";
    check(&out("model.kind=3"), &[&format!("model.kind is 3, but must be one of {kinds}")]);
    check(&out("twinflow.shares={ e2e = 0.5 }"), &["twinflow.shares: `mul` is missing"]);
    let twice = refused("[sample]\nnfe = 1\nsampling_steps = 2\n", &[]);
    check(&twice, &["sample: `nfe` is there twice", "c.toml"]);
}

#[test]
fn assignments_are_checked_where_they_stand() {
    let out = refused("", &["trian.steps=5"]);
    check(&out, &["unknown key 'trian'", "did you mean 'train'?", "Known at the top"]);
    check(&refused("", &["data.kinds=toy"]), &["unknown key 'data.kinds'", "did you mean 'kind'?", "--set"]);
    check(&refused("", &["data.kind=toys"]), &["data.kind is \"toys\"", "did you mean \"toy\"?", "--set"]);
    check(&refused("", &["steps=3"]), &["--set wants SECTION.KEY=VALUE, not 'steps=3'"]);
}

#[test]
fn tagged_sections_have_places_too() {
    let out = refused("[model]\nkind = \"dit\"\nwidth = 8\ndepht = 2\n", &[]);
    check(&out, &["unknown key 'model.depht'", "did you mean 'depth'?", "line 4"]);
    let out = refused("[model]\nkind = \"mlp\"\npatch = 2\n", &[]);
    check(&out, &["unknown key 'model.patch'", "Known in [model]: width, depth"]);
    check(&refused("[model]\nkind = \"gan\"\n", &[]), &["model.kind is \"gan\"", "\"dit\", \"mlp\"", "line 2"]);
    check(&refused("[model]\nwidth = 1.5\n", &[]), &["model.width is 1.5, but must be a whole number, 0 or more"]);
}

#[test]
fn the_method_s_own_refusals_are_shown_in_place() {
    let out = refused("[twinflow]\nestimate_order = 4\n", &[]);
    check(&out, &["twinflow.order = 4 is not allowed: 0 to 3"]);
    let out = refused("[twinflow]\nshares = { e2e = 1, mul = 1, any = 1, adv = 1, adw = 2 }\n", &[]);
    check(&out, &["unknown key 'twinflow.shares.adw'", "did you mean 'adv'?", "line 2"]);
    check(&refused("", &["train.non_finite=ignore"]), &["train.non_finite is \"ignore\"", "\"stop\", \"skip\""]);
}

#[test]
fn the_public_names_are_aliases_that_assignments_replace() {
    let set = ["twinflow.consistc_ratio=0.5".to_owned(), "sample.stochastic_ratio=0.8".to_owned()];
    let text = "[twinflow]\nconsistency_ratio = 1.0\n[sample]\nstochast_ratio = 0.1\n";
    let config = Config::from_text("c.toml", text, &set).unwrap();
    assert_eq!((config.twinflow.consistency_ratio, config.sample.stochastic_ratio), (0.5, 0.8));
}

#[test]
fn the_configs_that_come_with_the_program_load() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 7, "{files:?}");
    for path in files {
        let mut config = Config::from_file(&path, &[]).unwrap();
        assert_eq!(config.run.name, path.file_stem().unwrap().to_string_lossy());
        let written: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        let resolved: toml::Table = config.to_toml().parse().unwrap();
        assert_holds(&resolved.into(), &written.into(), &path.display().to_string());
        let data = &mut config.data;
        [data.height, data.width, data.channels] = match data.kind {
            DataKind::Toy => [1, 1, 2],
            DataKind::Hdf5 => [32, 32, 1],
            DataKind::Synthetic => data.shape(),
        };
        if data.kind == DataKind::Hdf5 {
            (data.text_tokens, data.text_vocabulary) = (20, 2048);
        }
        ResolvedConfig::of_checkpoint(config, Products::default()).trainer(1).unwrap();
    }
}

/// Panics unless all that is `written` has the same value in `resolved`.
fn assert_holds(resolved: &toml::Value, written: &toml::Value, place: &str) {
    let number = |value: &toml::Value| value.as_float().or(value.as_integer().map(|number| number as f64));
    match (resolved, written) {
        (toml::Value::Table(resolved), toml::Value::Table(written)) => written
            .iter()
            .for_each(|(key, value)| assert_holds(resolved.get(key).expect(key), value, &format!("{place} {key}"))),
        (toml::Value::Array(resolved), toml::Value::Array(written)) => {
            assert_eq!(resolved.len(), written.len(), "{place}");
            resolved.iter().zip(written).for_each(|(resolved, written)| assert_holds(resolved, written, place));
        }
        _ if number(written).is_some() => assert_eq!(number(resolved), number(written), "{place}"),
        _ => assert_eq!(resolved, written, "{place}"),
    }
}

#[test]
fn a_batch_too_small_for_its_parts_is_refused() {
    let trainer = |batch_size: usize, processes| {
        let sizes = ["data.height=1", "data.width=1", "data.channels=2"].map(str::to_owned);
        let set = [&sizes[..], &[format!("train.batch_size={batch_size}")]].concat();
        let config = Config::from_text("c.toml", "[model]\nkind = \"mlp\"\n", &set).unwrap();
        ResolvedConfig::of_checkpoint(config, Products::default()).trainer(processes).err().unwrap().to_string()
    };
    let message = trainer(2, 1);
    assert!(message.starts_with("train.batch_size = 2 is too small"), "{message}");
    let message = trainer(8, 4);
    assert!(message.contains("cannot be dealt out equally to 4"), "{message}");
}

#[test]
fn assignments_win_and_the_resolved_config_says_the_same() {
    let set = ["run.seed=7".to_owned(), "data.kind=toy".to_owned(), "run.name=two words".to_owned()];
    let config = Config::from_text("c.toml", "[run]\nseed = 3\n", &set).unwrap();
    assert_eq!((config.run.seed, config.data.kind, config.run.name.as_str()), (7, DataKind::Toy, "two words"));
    assert_eq!(Config::from_text("config.toml", &config.to_toml(), &[]).unwrap(), config);
}
