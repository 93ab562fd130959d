//! `data import` and `data info`.

use std::path::{Path, PathBuf};

use miette::{Result, miette};
use twinflow_data::{Dataset, FASHION_MNIST_CLASSES, Metadata, Verify, import_idx};

use super::print_line;
use crate::cli::{DataCommand, DebianDataset, ImportArgs, ImportKind};
use crate::said::Said;

/// Where Debian's dataset packages put their files.
const DEBIAN: &str = "/usr/share/datasets";

/// Files and description of a dataset to import.
struct Import {
    images: PathBuf,
    labels: PathBuf,
    metadata: Metadata,
}

/// Runs `data`.
///
/// # Errors
/// What the importer or the reader met.
pub fn data(command: &DataCommand) -> Result<()> {
    match command {
        DataCommand::Import(args) => import(args),
        DataCommand::Info { file } => {
            // The checksums are compared on opening, so what is printed is also intact.
            print_line(format_args!("{}\nchecksums agree", Dataset::open(file, Verify::Yes).said()?.info()))
        }
    }
}

fn import(args: &ImportArgs) -> Result<()> {
    let ImportKind::Idx = args.kind;
    let import = match (args.from_debian, &args.images, &args.labels) {
        (Some(DebianDataset::FashionMnist), ..) => fashion_mnist(&Path::new(DEBIAN).join("fashion-mnist"))?,
        (None, Some(images), Some(labels)) => {
            let stem = args.out.file_stem().map_or("dataset".into(), |stem| stem.to_string_lossy().into_owned());
            let metadata = Metadata {
                name: args.name.clone().unwrap_or(stem),
                source: format!("{}, {}", images.display(), labels.display()),
                classes: args.classes as usize,
                class_names: Vec::new(),
            };
            Import { images: images.clone(), labels: labels.clone(), metadata }
        }
        _ => return Err(miette!("name the files by --images and --labels, or a package by --from-debian")),
    };
    if let Some(folder) = args.out.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .map_err(|error| miette!("cannot make the folder {}: {error}", folder.display()))?;
    }
    let info = import_idx(&import.images, &import.labels, &args.out, &import.metadata).said()?;
    print_line(info)
}

fn fashion_mnist(folder: &Path) -> Result<Import> {
    let images = folder.join("train-images-idx3-ubyte.gz");
    if !images.is_file() {
        return Err(miette!(
            help = "apt install dataset-fashion-mnist; or without root, in any folder: apt download dataset-fashion-mnist && \
                    dpkg -x dataset-fashion-mnist_*.deb . , then use --images and --labels",
            "{} is not there",
            images.display()
        ));
    }
    Ok(Import {
        images,
        labels: folder.join("train-labels-idx1-ubyte.gz"),
        metadata: Metadata {
            name: "fashion-mnist".into(),
            source: "Debian package dataset-fashion-mnist, training split".into(),
            classes: FASHION_MNIST_CLASSES.len(),
            class_names: FASHION_MNIST_CLASSES.map(str::to_owned).to_vec(),
        },
    })
}
