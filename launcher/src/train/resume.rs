//! What a resumed run may not change, and what it says of what has changed around it.

use std::path::Path;

use miette::{Result, miette};
use twinflow_checkpoints::Checkpoint;
use twinflow_data::Source;
use twinflow_runtime::programs::phase_name;
use twinflow_training::Trainer;

use crate::{config::DataConfig, run_folder::Environment};

/// Refuses `--set run.dir=..`: a run stays in its folder.
///
/// # Errors
/// As said.
pub fn refuse_new_folder(run: &Path, assignments: &[String]) -> Result<()> {
    let names_folder = |text: &String| text.split('=').next().is_some_and(|key| key.trim() == "run.dir");
    match assignments.iter().any(names_folder) {
        false => Ok(()),
        true => Err(miette!(
            help = "move the folder (mv) and resume it where it is then, or start a new run there by --config",
            "run.dir cannot be set with --resume: the run is in {}",
            run.display()
        )),
    }
}

/// Refuses settings by which a run that has reached a phase would be in one before it.
///
/// # Errors
/// As said.
pub fn refuse_phase_before(trainer: &Trainer, step: u64, reached: usize) -> Result<()> {
    let wanted = trainer.phase_at(step);
    if wanted >= reached {
        return Ok(());
    }
    let [reached, wanted] = [reached, wanted].map(|phase| phase_name(trainer, phase));
    Err(miette!(
        help = "leave flow.steps as it was; for more steps of an earlier phase go on from a checkpoint of that phase, if \
                one was kept, or start anew",
        "flow.steps lies above step {step}: that would be the {wanted} phase, and this run is in its {reached} phase already"
    ))
}

/// Refuses a dataset whose tokenizer is not the one that the checkpoint was trained with: its numbers would name other
/// words.
///
/// # Errors
/// As said.
pub fn refuse_other_tokenizer(checkpoint: &Checkpoint, source: &dyn Source, data: &DataConfig) -> Result<()> {
    let Some(trained) = &checkpoint.metadata().tokenizer else { return Ok(()) };
    if source.tokenizer().is_some_and(|tokenizer| tokenizer.json() == trained) {
        return Ok(());
    }
    let (data, checkpoint) = (data.path.display(), checkpoint.path().display());
    Err(miette!(
        help = "go on with the dataset of the run's beginning, or give this one the checkpoint's tokenizer: \
                twinflow-xla data tokenizer DATASET.h5 --checkpoint CHECKPOINT",
        "{data} has another tokenizer than {checkpoint} was trained with: the same numbers would stand for other words"
    ))
}

/// Warns where a resumed run is not the unbroken one bit for bit: XLA's sums depend on how many cores share them, and
/// MPI's on how many ranks.
pub fn warn_of_other_cores(now: &Environment, before: Option<&Environment>) {
    let Some(before) = before else { return };
    if before.ranks != now.ranks {
        tracing::warn!("{} ranks where the run had {}: it goes on, but not bit for bit", now.ranks, before.ranks);
    } else if before.rank_cores != now.rank_cores && !before.rank_cores.is_empty() {
        let (now, before) = (&now.rank_cores, &before.rank_cores);
        tracing::warn!("cores per rank are {now:?} where the run had {before:?}: it goes on, but not bit for bit");
    }
}
