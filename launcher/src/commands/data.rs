//! `data`: its commands, and `data import`.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use miette::{Result, miette};
use twinflow_data::{
    DatasetMetadata, FASHION_MNIST_CLASSES, Filter, Hdf5Arrays, ImageLayout, PictureOptions, Shapes, import_hdf5,
    import_idx, import_pictures,
};
use twinflow_runtime::console::{OrReport, say};

use super::{eval::test_file, info::info, print_line, tokenizer};
use crate::cli::{DataCommand, DebianDataset, ImportArgs, ImportKind, Layout, Resample};

/// Classes of files in MNIST's format, where nobody says how many.
const MNIST_CLASSES: u32 = 10;
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
        DataCommand::Tokenizer(args) => tokenizer::tokenizer(args),
        DataCommand::Info(args) => info(args),
    }
}

fn import(args: &ImportArgs) -> Result<()> {
    if !args.pictures.is_empty() {
        return pictures(args);
    }
    if let (Some(file), Some(images), Some(labels)) = (&args.hdf5, &args.images, &args.labels) {
        return hdf5(file, [images, labels].map(|key| key.to_string_lossy().into_owned()), args);
    }
    let ImportKind::Idx = args.kind;
    let imports = match (args.from_debian, &args.images, &args.labels) {
        (Some(DebianDataset::FashionMnist), ..) => {
            let folder = Path::new(DEBIAN).join("fashion-mnist");
            vec![fashion_mnist(&folder, Split::Train, &args.out)?, fashion_mnist(&folder, Split::Test, &args.out)?]
        }
        (None, Some(images), Some(labels)) => {
            let source = format!("{}, {}", images.display(), labels.display());
            let metadata = DatasetMetadata::new(name(args), source, args.classes.unwrap_or(MNIST_CLASSES) as usize);
            vec![Import { images: images.clone(), labels: labels.clone(), metadata, out: args.out.clone() }]
        }
        _ => return Err(miette!("name the files by --images and --labels, or a package by --from-debian")),
    };
    imports.iter().try_for_each(|import| {
        print_line(import_idx(&import.images, &import.labels, &import.out, &import.metadata).or_report()?)
    })
}

fn name(args: &ImportArgs) -> String {
    let stem = || args.out.file_stem().map_or("dataset".into(), |stem| stem.to_string_lossy().into_owned());
    args.name.clone().unwrap_or_else(stem)
}

fn hdf5(file: &Path, [images, labels]: [String; 2], args: &ImportArgs) -> Result<()> {
    let layout = args.layout.map(|layout| match layout {
        Layout::Nchw => ImageLayout::Nchw,
        Layout::Nhwc => ImageLayout::Nhwc,
    });
    let source = format!("{}: {images}, {labels}", file.display());
    let classes = args.classes.map(|classes| classes as usize);
    let arrays = Hdf5Arrays { images, labels, layout, range: args.range, classes };
    print_line(import_hdf5(file, &arrays, &args.out, &DatasetMetadata::new(name(args), source, 0)).or_report()?)
}

/// Files that a dataset names as its source.
const MOST_NAMED: usize = 4;
/// Reasons of pictures that were left out which are told one by one.
const MOST_REASONS: usize = 20;

fn pictures(args: &ImportArgs) -> Result<()> {
    let filter = match args.resample {
        Resample::Bilinear => Filter::Bilinear,
        Resample::Bicubic => Filter::Bicubic,
    };
    let ImportArgs { resolution, background, skip_damaged, .. } = *args;
    let shapes = match args.aspect_buckets {
        true => Shapes::of_aspects(resolution, args.multiple_of, args.most_aspect),
        false => Shapes::square(resolution),
    };
    let (shapes, caption_key) = (shapes.or_report()?, args.caption_key.clone());
    let options = PictureOptions { shapes, filter, background, skip_damaged, caption_key };
    let source = args.pictures.iter().map(|path| path.display().to_string()).take(MOST_NAMED).collect::<Vec<_>>();
    let more = if args.pictures.len() > MOST_NAMED { ", .." } else { "" };
    let metadata = DatasetMetadata::new(name(args), source.join(", ") + more, 0);
    // Drawn where standard error is a terminal.
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} pictures{msg} ({eta} left)");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let imported = import_pictures(&args.pictures, &args.out, &options, &metadata, &mut |progress| {
        bar.set_length(progress.total as u64);
        if progress.skipped > 0 {
            bar.set_message(format!(", {} left out", progress.skipped));
        }
        bar.set_position(progress.done as u64);
    });
    bar.finish_and_clear();
    let imported = imported.or_report()?;
    imported.notes.iter().for_each(say);
    imported.skipped.iter().take(MOST_REASONS).for_each(|reason| say(format!("left out {reason}")));
    if !imported.skipped.is_empty() {
        say(format!("{} pictures were left out", imported.skipped.len()));
    }
    if args.aspect_buckets {
        let line = |([width, height], count): &([u32; 2], usize)| format!("{count:>9}  {width} x {height}");
        let lines: Vec<String> = imported.shapes.iter().map(line).collect();
        say(format!("pictures in each bucket (width x height):\n{}", lines.join("\n")));
    }
    print_line(imported.info)
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
