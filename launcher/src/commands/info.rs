//! `data info`.

use miette::Result;
use twinflow_data::{Dataset, IMAGES, Source, Verify};
use twinflow_runtime::console::OrReport;

use super::print_line;
use crate::{
    cli::InfoArgs,
    pictures::{Picture, captioned, sample_file::make_parent, spread, to_bytes},
};

/// Runs `data info`.
///
/// # Errors
/// A dataset that is damaged or none; a picture that cannot be written.
pub fn info(args: &InfoArgs) -> Result<()> {
    // All images are read on opening, so what is printed is also intact.
    let dataset = Dataset::open(&args.file, Verify::Yes).or_report()?;
    let info = dataset.info();
    let checked = if info.has_checksums { "checksums agree" } else { "all samples can be read" };
    print_line(format_args!("{info}\n{checked}"))?;
    let Some(path) = &args.picture else { return Ok(()) };
    make_parent(path)?;
    page(&dataset, &info.class_names, args.count as usize)?.write(path)?;
    let shown = info.samples.min(args.count as usize);
    print_line(format_args!("{}: {shown} of {} samples", path.display(), info.samples))
}

/// Samples spread over a dataset, each with its captions, or else its class.
fn page(dataset: &Dataset, class_names: &[String], count: usize) -> Result<Picture> {
    let shown: Vec<u64> = spread(dataset.len(), count).map(|index| index as u64).collect();
    let buckets = dataset.buckets();
    let shape: [usize; 3] =
        std::array::from_fn(|dim| buckets.all().iter().map(|bucket| bucket.shape[dim]).max().unwrap_or(1));
    let mut bytes = Vec::new();
    for index in &shown {
        let image = &dataset.gather(&[*index]).or_report()?[IMAGES];
        let pixels = image.as_slice::<f32>().map_or_else(|_| image.bytes().to_vec(), to_bytes);
        bytes.extend(centred(&pixels, buckets.all()[buckets.of_sample(*index)].shape, shape));
    }
    let texts: Vec<String> = shown.iter().map(|index| text(dataset, class_names, *index)).collect();
    Ok(captioned(&bytes, shape, &texts, 1 + (shown.len() - 1).isqrt())?)
}

/// A picture in the middle of a white one that is at least as large, both `[height, width, channels]`.
fn centred(pixels: &[u8], [height, width, channels]: [usize; 3], canvas: [usize; 3]) -> Vec<u8> {
    let mut centred = vec![255; canvas.iter().product()];
    let (top, left, row) = ((canvas[0] - height) / 2, (canvas[1] - width) / 2 * channels, width * channels);
    let rows = centred.chunks_exact_mut(canvas[1] * channels).skip(top);
    rows.zip(pixels.chunks_exact(row)).for_each(|(to, from)| to[left..left + row].copy_from_slice(from));
    centred
}

fn text(dataset: &Dataset, class_names: &[String], index: u64) -> String {
    let (captions, label) = (dataset.captions(index), dataset.labels()[index as usize]);
    match class_names.get(label as usize) {
        _ if !captions.is_empty() => captions.join(" | "),
        _ if dataset.classes() == 0 => String::new(),
        Some(name) => name.clone(),
        None => format!("class {label}"),
    }
}
