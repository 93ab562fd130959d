//! `data import` and `data info`.

use std::path::{Path, PathBuf};

use miette::{Result, miette};
use twinflow_data::{Dataset, DatasetMetadata, FASHION_MNIST_CLASSES, Verify, import_idx};
use twinflow_runtime::console::OrReport;

use super::{eval::test_file, print_line};
use crate::cli::{DataCommand, DebianDataset, ImportArgs, ImportKind};

/// Where Debian's dataset packages put their files.
const DEBIAN: &str = "/usr/share/datasets";

/// Files and description of a dataset to import.
struct Import {
    images: PathBuf,
    labels: PathBuf,
    metadata: DatasetMetadata,
    out: PathBuf,
}

/// What a dataset's images are for.
#[derive(Clone, Copy)]
enum Split {
    Train,
    Test,
}

/// Runs `data`.
///
/// # Errors
/// What the importer or the reader met.
pub fn data(command: &DataCommand) -> Result<()> {
    match command {
        DataCommand::Import(args) => import(args),
        DataCommand::Info { file } => {
            // All images are read on opening, so what is printed is also intact.
            let info = Dataset::open(file, Verify::Yes).or_report()?.info();
            let checked = if info.has_checksums { "checksums agree" } else { "all samples can be read" };
            print_line(format_args!("{info}\n{checked}"))
        }
    }
}

fn import(args: &ImportArgs) -> Result<()> {
    let ImportKind::Idx = args.kind;
    let imports = match (args.from_debian, &args.images, &args.labels) {
        (Some(DebianDataset::FashionMnist), ..) => {
            let folder = Path::new(DEBIAN).join("fashion-mnist");
            vec![fashion_mnist(&folder, Split::Train, &args.out)?, fashion_mnist(&folder, Split::Test, &args.out)?]
        }
        (None, Some(images), Some(labels)) => {
            let stem = args.out.file_stem().map_or("dataset".into(), |stem| stem.to_string_lossy().into_owned());
            let (name, source) =
                (args.name.clone().unwrap_or(stem), format!("{}, {}", images.display(), labels.display()));
            let metadata = DatasetMetadata::new(name, source, args.classes as usize);
            vec![Import { images: images.clone(), labels: labels.clone(), metadata, out: args.out.clone() }]
        }
        _ => return Err(miette!("name the files by --images and --labels, or a package by --from-debian")),
    };
    imports.iter().try_for_each(|import| {
        print_line(import_idx(&import.images, &import.labels, &import.out, &import.metadata).or_report()?)
    })
}

fn fashion_mnist(folder: &Path, split: Split, out: &Path) -> Result<Import> {
    let (files, name, out) = match split {
        Split::Train => ("train", "training", out.to_owned()),
        Split::Test => ("t10k", "test", test_file(out)),
    };
    let images = folder.join(format!("{files}-images-idx3-ubyte.gz"));
    if !images.is_file() {
        return Err(miette!(
            help = "apt install dataset-fashion-mnist; or without root, in any folder: apt download dataset-fashion-mnist && \
                    dpkg -x dataset-fashion-mnist_*.deb . , then use --images and --labels",
            "{} is not there",
            images.display()
        ));
    }
    let source = format!("Debian package dataset-fashion-mnist, {name} split");
    Ok(Import {
        images,
        labels: folder.join(format!("{files}-labels-idx1-ubyte.gz")),
        metadata: DatasetMetadata::new("fashion-mnist", source, FASHION_MNIST_CLASSES.len())
            .with_class_names(FASHION_MNIST_CLASSES),
        out,
    })
}
