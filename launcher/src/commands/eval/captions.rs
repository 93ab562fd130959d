//! `eval` of models of captions, by a judge that tells the real pictures apart.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use miette::{Result, miette};
use twinflow_data::{Dataset, IMAGES, Source, byte_to_unit, to_unit_range};
use twinflow_evaluation::{
    Samples,
    captions::{CaptionRow, CaptionScores, CaptionSet, CaptionsReport, Drawn, Gallery, Judge, JudgeQuality},
};
use twinflow_methods::flow::SampleConfig;
use twinflow_runtime::{
    console::OrReport,
    sampler::{Sampler, Subject as Shown},
};

use super::{
    asked::{Asked, Captions},
    pictures::{dataset, training_file},
    subject::{Subject, finish, refuse_files},
};
use crate::{
    cli::{Calls, EvalArgs},
    commands::print_line,
    pictures::{sample_file::make_parent, to_bytes},
};

/// Captions that are drawn where no number is asked for.
const USUAL_COUNT: u32 = 500;
/// Pictures of a dataset that the judge learns at most: the first ones.
const MOST: usize = 20_000;

/// Scores samples of captions by whether they are nearest to the captions' own pictures.
///
/// # Errors
/// Missing data, data without captions or of another shape, no usable plugin, a file that cannot be written.
pub fn evaluate(args: &EvalArgs, subject: &Subject) -> Result<()> {
    let help = "leave it out; captions that were not trained on are named by --held-out";
    refuse_files(&[("--test-data", &args.test_data)], "captions", help)?;
    let files = Files::of(args, subject)?;
    let parts = files.all().map(|path| read(path, subject)).collect::<Result<Vec<_>>>()?;
    let asked = asked(&files, &parts, args)?;
    let judge = judge(&files, &parts, subject)?;
    make_parent(&args.out)?;
    let evaluation = Evaluation { args, subject, judge: &judge, asked: &asked };
    let mut sets = evaluation.sets()?.into_iter();
    let Samples { checkpoint, step, weights, seed, .. } = subject.samples(args);
    let report = CaptionsReport {
        checkpoint,
        step,
        weights,
        seed,
        samples_per_caption: args.per_caption as usize,
        judge: quality(&judge, &files)?,
        training: sets.next().expect("the training images come first"),
        held_out: sets.next(),
        data: files.training,
        held_out_data: files.held_out,
    };
    finish(args, &report)
}

struct Files {
    training: PathBuf,
    held_out: Option<PathBuf>,
    judge: PathBuf,
}

impl Files {
    fn of(args: &EvalArgs, subject: &Subject) -> Result<Self> {
        let training = training_file(args, &subject.config, "name the training images by --data")?;
        let beside = held_out_file(&training);
        let held_out = args.held_out.clone().or_else(|| Some(beside).filter(|path| path.exists()));
        let judge = args.classifier.clone().unwrap_or_else(|| training.with_extension("judge.h5"));
        Ok(Files { training, held_out, judge })
    }

    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.training).chain(&self.held_out)
    }
}

/// Where pictures are expected whose captions were not trained on: NAME-held-out.h5 beside NAME.h5.
fn held_out_file(training: &Path) -> PathBuf {
    let stem = training.file_stem().unwrap_or_default().to_string_lossy();
    training.with_file_name(format!("{stem}-held-out.h5"))
}

/// A dataset of captions that fits the model.
fn read(path: &Path, subject: &Subject) -> Result<Arc<Dataset>> {
    let data = dataset(path)?;
    let (found, model) = (data.sample_shape(), subject.config.data.shape());
    if found != model {
        let path = path.display();
        return Err(miette!("{path} holds images {found:?}, but the model makes {model:?}"));
    }
    if data.captions(0).is_empty() {
        let help = "`data import --pictures` makes datasets with captions";
        return Err(miette!(help = help, "{} holds no captions", path.display()));
    }
    Ok(data)
}

/// The captions to draw, of each dataset.
fn asked(files: &Files, parts: &[Arc<Dataset>], args: &EvalArgs) -> Result<Vec<Asked>> {
    let of_part = |data: &Arc<Dataset>| -> Vec<Vec<String>> { indices(data).map(|i| data.captions(i)).collect() };
    let captions = Captions::of(parts.iter().map(of_part));
    let count = args.count.unwrap_or(USUAL_COUNT) as usize;
    let asked: Vec<Asked> = (0..parts.len()).map(|part| captions.draw(part, count, args.seed)).collect();
    match files.all().zip(&asked).find(|(_, asked)| asked.texts.is_empty()) {
        None => Ok(asked),
        Some((path, _)) => Err(miette!("the training images have every caption of {} too", path.display())),
    }
}

/// The pictures that the judge knows.
fn indices(data: &Dataset) -> impl Iterator<Item = u64> + use<> {
    0..data.len().min(MOST) as u64
}

/// The judge of all pictures of the datasets.
fn judge(files: &Files, parts: &[Arc<Dataset>], subject: &Subject) -> Result<Judge> {
    let began = Instant::now();
    let mut pixels = Vec::new();
    for data in parts {
        let fields = data.gather(&indices(data).collect::<Vec<_>>()).or_report()?;
        pixels.extend_from_slice(to_unit_range(&fields[IMAGES]).as_slice::<f32>().or_report()?);
    }
    let gallery = Gallery::new(pixels, parts[0].sample_shape())?;
    let checksums: Vec<Option<u32>> = parts.iter().map(|data| data.info().checksums.images).collect();
    let judge = Judge::of(gallery, &checksums, &files.judge, &subject.devices)?;
    let origin = match judge.trained() {
        Some(steps) => format!("trained for {steps} steps, kept in {}", files.judge.display()),
        None => format!("read from {}", files.judge.display()),
    };
    let (pictures, seconds) = (judge.gallery().len(), began.elapsed().as_secs_f64());
    print_line(format_args!("judge of {pictures} pictures: {origin}; {seconds:.1} s"))?;
    Ok(judge)
}

fn quality(judge: &Judge, files: &Files) -> Result<JudgeQuality> {
    let (gallery, file) = (judge.gallery(), files.judge.clone());
    Ok(JudgeQuality { pictures: gallery.len(), looks: gallery.count(), accuracy: judge.accuracy()?, file })
}

/// What samples are drawn and compared by.
struct Evaluation<'a> {
    args: &'a EvalArgs,
    subject: &'a Subject,
    judge: &'a Judge,
    /// Of each dataset.
    asked: &'a [Asked],
}

impl Evaluation<'_> {
    /// What was found for the captions of each dataset.
    fn sets(&self) -> Result<Vec<CaptionSet>> {
        let each = self.args.per_caption as usize;
        let shown = self.asked.iter().map(|asked| self.shown(asked)).collect::<Result<Vec<_>>>()?;
        let mut rows: Vec<Vec<CaptionRow>> = self.asked.iter().map(|_| Vec::new()).collect();
        for calls in &self.args.nfe {
            self.rows(*calls, &shown)?.into_iter().zip(&mut rows).for_each(|(row, rows)| rows.push(row));
        }
        let set = |(asked, rows): (&Asked, Vec<CaptionRow>)| {
            let varied = self.scores(asked, self.judge.varied(&asked.own, each))?;
            Ok(CaptionSet::new(asked.texts.len(), rows, varied))
        };
        self.asked.iter().zip(rows).map(set).collect()
    }

    /// Captions as the model reads them.
    fn shown(&self, asked: &Asked) -> Result<Vec<Shown>> {
        let lacking = || miette!("the checkpoint has no tokenizer, so it reads no captions");
        let encode = |text: &String| {
            let encoded = self.subject.model().encode(text).or_report()?.ok_or_else(lacking)?;
            Ok(Shown::prompt(text, encoded))
        };
        asked.texts.iter().map(encode).collect()
    }

    /// Draws and measures the samples of one number of calls, for each dataset.
    fn rows(&self, calls: Calls, shown: &[Vec<Shown>]) -> Result<Vec<CaptionRow>> {
        let began = Instant::now();
        let (sampler, sample) = self.subject.sampler(calls)?;
        let rows = self.asked.iter().zip(shown).map(|(asked, shown)| self.row(&sampler, &sample, asked, shown));
        let rows = rows.collect::<Result<Vec<_>>>()?;
        let count = self.args.per_caption as usize * shown.iter().map(Vec::len).sum::<usize>();
        let seconds = began.elapsed().as_secs_f64();
        print_line(format_args!("NFE {}: {count} samples drawn and compared in {seconds:.1} s", calls.nfe))?;
        Ok(rows)
    }

    /// The samples as the bytes that a picture would have.
    fn row(&self, sampler: &Sampler, sample: &SampleConfig, asked: &Asked, shown: &[Shown]) -> Result<CaptionRow> {
        let each = self.args.per_caption as usize;
        let values = self.subject.draw_by(sampler, shown, each, self.args.seed)?.values;
        let pixels = to_bytes(&values).into_iter().map(byte_to_unit).collect();
        let scores = self.scores(asked, pixels)?;
        Ok(CaptionRow { nfe: sample.nfe, sample: sample.clone(), scores, diversity: None })
    }

    fn scores(&self, asked: &Asked, pixels: Vec<f32>) -> Result<CaptionScores> {
        let per_caption = self.args.per_caption as usize;
        Drawn { pixels, own: asked.own.clone(), per_caption }.scores(self.judge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_out_pictures_are_beside_the_training_images() {
        assert_eq!(held_out_file(Path::new("datasets/emoji.h5")), Path::new("datasets/emoji-held-out.h5"));
    }
}
