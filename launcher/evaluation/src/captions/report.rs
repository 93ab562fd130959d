//! What an evaluation of captions found, as a table and as JSON.

use std::{fmt, path::PathBuf};

use serde::Serialize;
use twinflow_methods::flow::SampleConfig;

use super::scores::CaptionScores;
use crate::report::calls;

/// How good the judge itself is.
#[derive(Clone, Debug, Serialize)]
pub struct JudgeQuality {
    /// Real pictures that it tells apart, and their number of looks.
    pub pictures: usize,
    pub looks: usize,
    /// Share of new variants of the pictures that it recognises.
    pub accuracy: f64,
    /// Where it is kept.
    pub file: PathBuf,
}

/// The samples of one number of network calls.
#[derive(Clone, Debug, Serialize)]
pub struct CaptionRow {
    /// Network calls per sample.
    pub nfe: usize,
    /// How they were made.
    pub sample: SampleConfig,
    #[serde(flatten)]
    pub scores: CaptionScores,
    /// Their spread over that of the samples with the most calls; none where nothing can be compared.
    pub diversity: Option<f64>,
}

/// Samples of one set of captions.
#[derive(Clone, Debug, Serialize)]
pub struct CaptionSet {
    pub captions: usize,
    pub results: Vec<CaptionRow>,
    /// Varied pictures in place of samples: what good samples would get.
    pub varied: CaptionScores,
}

/// An evaluation. It holds no times, so equal evaluations give equal files.
#[derive(Clone, Debug, Serialize)]
pub struct CaptionsReport {
    pub checkpoint: PathBuf,
    /// Training steps of the checkpoint.
    pub step: u64,
    /// `params` or `ema`.
    pub weights: String,
    /// Of the samples' noise and of the choice of captions.
    pub seed: u64,
    pub samples_per_caption: usize,
    /// Dataset that the model was trained on.
    pub data: PathBuf,
    /// Dataset of captions that it has not seen.
    pub held_out_data: Option<PathBuf>,
    pub judge: JudgeQuality,
    pub training: CaptionSet,
    pub held_out: Option<CaptionSet>,
}

impl CaptionSet {
    /// Compares the spread of samples with that of the ones with the most calls, of which there must be several.
    pub fn new(captions: usize, mut results: Vec<CaptionRow>, varied: CaptionScores) -> Self {
        // Of equal numbers of calls the last.
        let most = results.iter().max_by_key(|row| row.nfe).and_then(|row| row.scores.spread);
        let most = most.filter(|most| *most > 0.0 && results.len() > 1);
        for row in &mut results {
            row.diversity = row.scores.spread.zip(most).map(|(spread, most)| spread / most);
        }
        CaptionSet { captions, results, varied }
    }
}

impl fmt::Display for CaptionsReport {
    /// Aligned lines for a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (each, judge) = (self.samples_per_caption, &self.judge);
        writeln!(
            f,
            "{}: {each} samples of each caption, among {} pictures",
            self.checkpoint.display(),
            judge.pictures
        )?;
        self.training.write(f, "captions of training")?;
        match &self.held_out {
            Some(set) => set.write(f, "captions held out").and_then(|()| self.write_last(f)),
            None => self.write_last(f),
        }
    }
}

impl CaptionsReport {
    fn write_last(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the judge recognises {:.3} of varied pictures", self.judge.accuracy)
    }
}

impl CaptionSet {
    fn write(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        let title = format!("{} {name}", self.captions);
        writeln!(f, "{title:<28} {:>9} {:>9} {:>16} {:>9}", "retrieval", "by pixels", "Frechet distance", "diversity")?;
        for row in &self.results {
            writeln!(f, "{:<28} {}", calls(&row.sample), line(&row.scores, row.diversity))?;
        }
        writeln!(f, "{:<28} {}", "real, varied", line(&self.varied, None))
    }
}

fn line(scores: &CaptionScores, diversity: Option<f64>) -> String {
    let CaptionScores { retrieval, pixel_retrieval, frechet_distance, .. } = scores;
    let diversity = diversity.map_or("-".to_owned(), |diversity| format!("{diversity:.3}"));
    format!("{retrieval:>9.3} {pixel_retrieval:>9.3} {frechet_distance:>16.2} {diversity:>9}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(spread: Option<f64>) -> CaptionScores {
        CaptionScores { retrieval: 0.5, pixel_retrieval: 0.25, frechet_distance: 12.0, spread }
    }

    fn row(nfe: usize, guidance: f64, spread: Option<f64>) -> CaptionRow {
        let sample = SampleConfig { guidance, ..SampleConfig::for_nfe(nfe) };
        CaptionRow { nfe, sample, scores: scores(spread), diversity: None }
    }

    #[test]
    fn diversity_is_relative_to_the_most_calls() {
        let rows = vec![row(30, 3.0, Some(4.0)), row(1, 1.0, Some(3.0))];
        let set = CaptionSet::new(7, rows, scores(Some(9.0)));
        assert_eq!(set.results.iter().map(|row| row.diversity).collect::<Vec<_>>(), [Some(1.0), Some(0.75)]);
        let alone = CaptionSet::new(7, vec![row(1, 1.0, Some(3.0))], scores(None));
        assert_eq!(alone.results[0].diversity, None);
    }

    #[test]
    fn tables_have_a_line_for_each_number_of_calls() {
        let set = CaptionSet::new(7, vec![row(1, 1.0, None), row(30, 3.0, None)], scores(None));
        let judge = JudgeQuality { pictures: 9, looks: 8, accuracy: 0.93, file: "judge.h5".into() };
        let report = CaptionsReport {
            checkpoint: "c.h5".into(),
            step: 5,
            weights: "ema".into(),
            seed: 0,
            samples_per_caption: 2,
            data: "d.h5".into(),
            held_out_data: None,
            judge,
            training: set,
            held_out: None,
        };
        assert_eq!(
            report.to_string().lines().map(str::trim_end).collect::<Vec<_>>(),
            [
                "c.h5: 2 samples of each caption, among 9 pictures",
                "7 captions of training       retrieval by pixels Frechet distance diversity",
                "1 (few)                          0.500     0.250            12.00         -",
                "30 (mul) @ 3                     0.500     0.250            12.00         -",
                "real, varied                     0.500     0.250            12.00         -",
                "the judge recognises 0.930 of varied pictures",
            ]
        );
    }
}
