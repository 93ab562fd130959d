//! Ranks agree before one fails, so that a common error is said once and no rank waits for one that is gone.

use miette::{Diagnostic, Report, Result};

use super::World;
use crate::console::say;

/// This rank is fine, but another is not; that one says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Diagnostic)]
#[error("rank {rank} failed")]
pub struct Elsewhere {
    /// The lowest rank that failed.
    pub rank: usize,
}

impl World {
    /// Gives the result if every rank has one; otherwise an error on every rank: its own on the lowest rank that
    /// failed, `Elsewhere` on the others. All ranks must call this at the same point.
    ///
    /// # Errors
    /// As said.
    pub fn agree<T>(&self, result: Result<T>) -> Result<T> {
        // The greatest of (size - rank) among those that failed belongs to the lowest rank.
        let vote = if result.is_err() { (self.size - self.rank) as u32 } else { 0 };
        let worst = self.all_reduce_max(vote) as usize;
        if worst == 0 {
            return result;
        }
        self.failed_together.set(true);
        let rank = self.size - worst;
        match result {
            Err(report) if rank == self.rank => Err(report),
            _ => Err(Elsewhere { rank }.into()),
        }
    }

    /// Does something on rank 0 only; every rank fails if it fails.
    ///
    /// # Errors
    /// The error on rank 0, `Elsewhere` on the others.
    pub fn on_root<T>(&self, f: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
        self.agree(if self.is_root() { f().map(Some) } else { Ok(None) })
    }

    /// Says why this rank ends and with which code: quietly if another rank does, and if the others do not know of the
    /// failure, by ending the whole job.
    pub fn report_failure(&self, report: &Report) {
        if report.downcast_ref::<Elsewhere>().is_some() {
            return;
        }
        if self.size == 1 || self.failed_together.get() {
            say(format!("{report:?}"));
            return;
        }
        say(format!("rank {}: {report:?}\nending the job on all {} ranks", self.rank, self.size));
        self.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alone_the_result_is_the_agreement() {
        let world = World::alone();
        assert_eq!(world.agree(Ok(3)).unwrap(), 3);
        let error = world.on_root::<()>(|| Err(miette::miette!("disk full"))).unwrap_err();
        assert_eq!(error.to_string(), "disk full");
    }
}
