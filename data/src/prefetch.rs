//! Batches made ahead of time.

use std::{
    panic,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{Builder, JoinHandle},
};

use crate::{DataError, Loader, StepBatches};

/// Makes the batches of coming steps on a background thread; they equal [`Loader::batch_at`]'s bit for bit.
///
/// One thread is enough: HDF5 lets only one through at a time. Dropping the loader ends the thread after the batch it
/// is making.
pub struct PrefetchLoader {
    loader: Loader,
    depth: usize,
    next_step: u64,
    worker: Option<Worker>,
}

/// The thread, and the channel's end at which its batches arrive in the order of steps.
struct Worker {
    batches: Option<Receiver<Result<StepBatches, DataError>>>,
    thread: Option<JoinHandle<()>>,
}

impl PrefetchLoader {
    /// Starts making batches from `start_step` on; up to `depth` of them wait to be taken, one more is in the making.
    ///
    /// # Errors
    /// [`DataError::Thread`] if the system gives no thread.
    pub fn start(loader: Loader, start_step: u64, depth: usize) -> Result<Self, DataError> {
        let worker = Some(Worker::start(loader.clone(), start_step, depth)?);
        Ok(PrefetchLoader { loader, depth, next_step: start_step, worker })
    }

    /// The loader that makes the batches.
    pub fn loader(&self) -> &Loader {
        &self.loader
    }

    /// The batches of the step after the last one taken.
    ///
    /// # Errors
    /// What the source met while reading; the step is then read anew by the next call.
    pub fn next_batch(&mut self) -> Result<StepBatches, DataError> {
        self.batch_at(self.next_step)
    }

    /// The batches of a step: at once for the step after the last one taken; for any other the thread starts anew
    /// there.
    ///
    /// # Errors
    /// As [`PrefetchLoader::next_batch`], and [`DataError::Thread`].
    pub fn batch_at(&mut self, step: u64) -> Result<StepBatches, DataError> {
        let worker = match self.worker.take() {
            Some(worker) if step == self.next_step => worker,
            _ => Worker::start(self.loader.clone(), step, self.depth)?,
        };
        self.next_step = step;
        let (worker, batches) = worker.take()?;
        self.worker = Some(worker);
        self.next_step = step.wrapping_add(1);
        Ok(batches)
    }
}

impl Worker {
    fn start(loader: Loader, start_step: u64, depth: usize) -> Result<Self, DataError> {
        let (sender, receiver) = sync_channel(depth);
        let work = move || make_batches(&loader, start_step, &sender);
        let thread = Builder::new().name("batches".to_owned()).spawn(work);
        let thread = thread.map_err(|source| DataError::Thread { source })?;
        Ok(Worker { batches: Some(receiver), thread: Some(thread) })
    }

    /// The next batches and the worker, which ends at an error.
    fn take(mut self) -> Result<(Self, StepBatches), DataError> {
        let received = self.batches.as_ref().map(Receiver::recv);
        match received {
            Some(Ok(batches)) => batches.map(|batches| (self, batches)),
            // The thread goes without a word only by a panic: a defect, which goes on in the thread that asked.
            _ => match self.stop() {
                Err(payload) => panic::resume_unwind(payload),
                Ok(()) => unreachable!("the thread of batches ends only when nobody takes them"),
            },
        }
    }

    /// Closes the channel, which ends a thread that waits to send, and waits for its end.
    fn stop(&mut self) -> std::thread::Result<()> {
        self.batches = None;
        self.thread.take().map_or(Ok(()), JoinHandle::join)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A panic of the thread was printed by the hook; whoever drops the loader wants no more batches.
        self.stop().ok();
    }
}

/// Sends the batches of all steps from `step` on, until nobody takes them or an error was sent.
fn make_batches(loader: &Loader, mut step: u64, sender: &SyncSender<Result<StepBatches, DataError>>) {
    loop {
        let batches = loader.batch_at(step);
        let failed = batches.is_err();
        if sender.send(batches).is_err() || failed {
            return;
        }
        step = step.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use twinflow_array::{DType, HostArray};

    use super::*;
    use crate::{BatchPlan, Field, Source, Synthetic, Toy2d, ToyKind, Visit, source::image_fields};

    fn loader(source: Arc<dyn Source>) -> Loader {
        Loader::new(source, BatchPlan::new(&[4, 8], 2, 2, 1).unwrap(), 3, 1).unwrap()
    }

    #[test]
    fn prefetched_batches_equal_those_made_on_demand() {
        let loader = loader(Arc::new(Synthetic::new([4, 4, 3], 10, 1).unwrap()));
        for depth in [0, 1, 4] {
            let mut prefetch = PrefetchLoader::start(loader.clone(), 5, depth).unwrap();
            for step in 5..15 {
                assert_eq!(prefetch.next_batch().unwrap(), loader.batch_at(step).unwrap());
            }
            for step in [2, 3, 100, 2] {
                assert_eq!(prefetch.batch_at(step).unwrap(), loader.batch_at(step).unwrap());
            }
        }
    }

    #[test]
    fn dropping_ends_the_thread_at_any_moment() {
        for taken in 0..3 {
            let source: Arc<dyn Source> = Arc::new(Toy2d::new(ToyKind::Moons, 0));
            let mut prefetch = PrefetchLoader::start(loader(source.clone()), 0, 2).unwrap();
            (0..taken).for_each(|_| drop(prefetch.next_batch().unwrap()));
            drop(prefetch);
            assert_eq!(Arc::strong_count(&source), 1, "the thread still holds the source");
        }
    }

    /// A source whose reading is what a test needs.
    struct Scripted<F>(F);

    impl<F: Fn(&[u64]) -> Result<(), DataError> + Send + Sync> Source for Scripted<F> {
        fn fields(&self) -> Vec<Field> {
            image_fields(DType::U8, [1, 1, 1])
        }

        fn classes(&self) -> usize {
            1
        }

        fn samples(&self) -> Option<u64> {
            None
        }

        fn read(&self, visits: &[Visit], _: &mut [HostArray]) -> Result<(), DataError> {
            (self.0)(&visits.iter().map(|visit| visit.index).collect::<Vec<_>>())
        }
    }

    #[test]
    fn errors_come_at_their_step_and_the_step_can_be_asked_again() {
        let fails = Arc::new(AtomicBool::new(true));
        let switch = fails.clone();
        let source = Scripted(move |indices: &[u64]| match switch.load(Ordering::Relaxed) && indices[0] >= 24 {
            true => Err(DataError::SampleIndex { index: indices[0], samples: 24 }),
            false => Ok(()),
        });
        let mut prefetch = PrefetchLoader::start(loader(Arc::new(source)), 0, 4).unwrap();
        prefetch.next_batch().unwrap();
        prefetch.next_batch().unwrap();
        for _ in 0..2 {
            let error = prefetch.next_batch().unwrap_err().to_string();
            assert_eq!(error, "sample 25 asked of a dataset of 24");
        }
        fails.store(false, Ordering::Relaxed);
        let batches = prefetch.next_batch().unwrap();
        assert_eq!(batches[0][0].sample_index.as_slice::<u32>().unwrap()[0], 25);
    }

    #[test]
    fn a_panic_of_the_thread_goes_on_in_the_consumer_instead_of_a_hang() {
        let mut prefetch =
            PrefetchLoader::start(loader(Arc::new(Scripted(|_: &[u64]| panic!("a defect")))), 0, 1).unwrap();
        let payload = panic::catch_unwind(panic::AssertUnwindSafe(|| prefetch.next_batch())).unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"a defect"));
    }
}
