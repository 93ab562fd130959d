//! The part of CUDA that compiling needs, found as the plugins are.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::{
    CompileOptions, PjrtError,
    discover::{Surroundings, unique},
};

/// A folder with NVIDIA's assembler (`bin/ptxas`) and device library (`nvvm/libdevice`). A plugin that compiles for a GPU
/// that is not there needs both and nothing else of CUDA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CudaToolkit {
    folder: PathBuf,
}

/// Where the wheels put it below a folder of Python packages: `nvidia-cuda-nvcc` with `nvidia-nvvm` (CUDA 13), and
/// `nvidia-cuda-nvcc-cu12`.
const IN_PACKAGES: [&str; 2] = ["nvidia/cu13", "nvidia/cuda_nvcc"];

impl CudaToolkit {
    /// The first of: the environment variables `CUDA_HOME` and `CUDA_PATH`; the Python packages and folders of plugins
    /// that [`crate::Plugin::discover`] looks in; `/usr/local/cuda`.
    ///
    /// # Errors
    /// [`PjrtError::NoCudaToolkit`] with every folder looked in.
    pub fn discover() -> Result<Self, PjrtError> {
        let named = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(env::var_os).map(PathBuf::from);
        find_in(named, &Surroundings::of_process())
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The options with this toolkit in place of one that XLA would look for.
    pub fn compile_options(&self, options: CompileOptions) -> CompileOptions {
        options.with_override("xla_gpu_cuda_data_dir", &*self.folder.to_string_lossy())
    }
}

fn find_in(named: impl Iterator<Item = PathBuf>, surroundings: &Surroundings) -> Result<CudaToolkit, PjrtError> {
    let in_packages = surroundings.packages().flat_map(|packages| IN_PACKAGES.map(|folder| packages.join(folder)));
    let in_plugins = surroundings.plugins().map(|plugins| plugins.join("cuda"));
    let system = PathBuf::from("/usr/local/cuda");
    let looked = unique(named.chain(in_packages).chain(in_plugins).chain([system]));
    match looked.iter().find(|folder| is_complete(folder)) {
        Some(folder) => Ok(CudaToolkit { folder: folder.clone() }),
        None => Err(PjrtError::NoCudaToolkit { looked }),
    }
}

fn is_complete(folder: &Path) -> bool {
    ["bin/ptxas", "nvvm/libdevice/libdevice.10.bc"].iter().all(|file| folder.join(file).is_file())
}

#[cfg(test)]
mod tests {
    use std::{fs, iter};

    use super::*;

    #[test]
    fn folders_that_hold_both_parts_are_found_in_order() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        let surroundings = || Surroundings { python: vec![at("venv")], folders: vec![at("project")], data: None };
        let put = |path: &str| {
            fs::create_dir_all(at(path).parent().unwrap()).unwrap();
            fs::write(at(path), "").unwrap();
        };
        put("venv/lib/python3.12/site-packages/nvidia/cu13/bin/ptxas");

        // A system's own CUDA is the last place; without one, half a toolkit is none.
        let found = find_in(iter::empty(), &surroundings());
        let is_systems = |folder: &Path| folder == Path::new("/usr/local/cuda");
        assert!(found.as_ref().map_or(true, |toolkit| is_systems(toolkit.folder())), "{found:?}");
        if let Err(error) = found {
            let message = error.to_string();
            assert!(message.contains("make cuda-compiler") && message.contains("CUDA_HOME"), "{message}");
            assert!(message.contains(at("project/.plugins/cuda").to_str().unwrap()), "{message}");
        }

        for folder in ["project/.plugins/cuda", "venv/lib/python3.12/site-packages/nvidia/cuda_nvcc", "own"] {
            put(&format!("{folder}/bin/ptxas"));
            put(&format!("{folder}/nvvm/libdevice/libdevice.10.bc"));
            let named = (folder == "own").then(|| at("own"));
            assert_eq!(find_in(named.into_iter(), &surroundings()).unwrap().folder(), at(folder));
        }
    }
}
