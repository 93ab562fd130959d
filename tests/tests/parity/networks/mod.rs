//! Published networks against values that their public libraries computed: outputs, gradients of inputs and of
//! parameters, for every folder with an `io.h5` below `golden/models` and below the folder that
//! `TWINFLOW_GOLDEN_MODELS` names. A folder belongs to the kind with the longest name that its path begins with.

mod case;
mod compare;
mod mmdit;
mod qwen_image_21;
mod sana;
mod z_image;

use std::{
    env,
    path::{Path, PathBuf},
};

use case::Case;
use serde_json::Value;
use twinflow_compiler::Tensor;
use twinflow_nn::{Init, Params};

/// A network of a library's config, for the inputs of one case.
pub trait Network {
    /// Its parameters, named and laid out elsewhere as the library has them.
    fn parameters(&self) -> Params<Init>;

    /// The library's output of the library's inputs.
    fn out<'t>(&self, params: &Params<Tensor<'t>>, inputs: &Inputs<'t>) -> Tensor<'t>;
}

/// The inputs of a case by the library's names.
pub type Inputs<'t> = std::collections::BTreeMap<String, Tensor<'t>>;

/// What the folders of a kind hold, and how near to their values is near enough, in relative L2 distance.
pub struct Kind {
    name: &'static str,
    network: fn(&Value, &Case) -> Box<dyn Network>,
    out: f64,
    gradients: f64,
    /// Of the gradients in the times, where the last bit of a frequency matters.
    time_gradients: f64,
}

/// Every network that is checked.
const KINDS: &[Kind] = &[
    exact("qwen_image", mmdit::qwen_image),
    exact("qwen_image_target", mmdit::qwen_image_target),
    qwen_image_21("qwen_image_21"),
    qwen_image_21("qwen_image_21_target"),
    exact("sana", sana::network),
    exact("sana_target", sana::network),
    exact("sd3", mmdit::sd3),
    z_image("z_image"),
    z_image("z_image_target"),
];

const fn exact(name: &'static str, network: fn(&Value, &Case) -> Box<dyn Network>) -> Kind {
    Kind { name, network, out: 1e-5, gradients: 1e-4, time_gradients: 1e-4 }
}

const fn qwen_image_21(name: &'static str) -> Kind {
    Kind { name, network: qwen_image_21::network, out: 2e-6, gradients: 1e-5, time_gradients: 1e-4 }
}

/// The angles of its times and positions are rounded differences and products in the library: the last bit counts.
const fn z_image(name: &'static str) -> Kind {
    Kind { name, network: z_image::network, out: 4e-6, gradients: 2e-5, time_gradients: 1e-3 }
}

/// Encoders and autoencoders, whose networks are not written yet.
const NOT_YET: [&str; 11] = [
    "autoencoder_dc",
    "autoencoder_kl",
    "autoencoder_qwen_image",
    "autoencoder_qwen_image_21",
    "clip_g",
    "clip_l",
    "gemma2",
    "qwen2",
    "qwen3",
    "qwen3_vl_text",
    "t5",
];

#[test]
fn every_golden_network_is_met() {
    let mut checked = 0;
    for root in roots() {
        for folder in folders(&root) {
            let below = folder.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            if let Some(name) = longest(&below, NOT_YET.iter().copied()) {
                println!("skipped: {below} ({name} is no network of this program yet)");
                continue;
            }
            let name = longest(&below, KINDS.iter().map(|kind| kind.name));
            let kind = KINDS.iter().find(|kind| Some(kind.name) == name);
            compare::folder(kind.unwrap_or_else(|| panic!("{below}: no kind has this name")), &folder);
            checked += 1;
        }
    }
    assert!(checked >= KINDS.len(), "{checked} folders for {} kinds", KINDS.len());
}

fn roots() -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/models");
    let named = env::var_os("TWINFLOW_GOLDEN_MODELS").map(PathBuf::from);
    [Some(own), named].into_iter().flatten().collect()
}

/// All folders below `root` that hold an `io.h5`, sorted.
fn folders(root: &Path) -> Vec<PathBuf> {
    let entries = root.read_dir().unwrap_or_else(|error| panic!("{}: {error}", root.display()));
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .flat_map(|path| if path.join("io.h5").exists() { vec![path] } else { folders(&path) })
        .collect();
    found.sort();
    found
}

fn longest<'a>(path: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names.filter(|name| path.starts_with(name)).max_by_key(|name| name.len())
}
