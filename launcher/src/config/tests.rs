//! Messages about settings, as the user sees them.

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
    for file in ["quickstart", "fashion-mnist", "toy", "toy-image-free", "tutorial", "dit-xl-2", "bench-dit"] {
        let path = format!("{}/../configs/{file}.toml", env!("CARGO_MANIFEST_DIR"));
        let config = Config::from_file(Path::new(&path), &[]).unwrap();
        assert_eq!(config.run.name, file);
    }
}

#[test]
fn a_batch_too_small_for_its_parts_is_refused() {
    let trainer = |batch_size: usize, processes| {
        let sizes = ["data.height=1", "data.width=1", "data.channels=2"].map(str::to_owned);
        let set = [&sizes[..], &[format!("train.batch_size={batch_size}")]].concat();
        let config = Config::from_text("c.toml", "[model]\nkind = \"mlp\"\n", &set).unwrap();
        ResolvedConfig::of_checkpoint(config).trainer(processes).err().unwrap().to_string()
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
