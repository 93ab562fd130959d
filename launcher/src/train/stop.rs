//! Requests to stop: Ctrl-C, SIGTERM, and the signals that mpirun and Slurm forward (SIGUSR1, SIGUSR2).

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use miette::Result;
use signal_hook::{
    consts::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2},
    flag,
};
use twinflow_runtime::{console::OrReport, world::World};

/// How often a rank that waits for its own work asks the others whether to stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Of a thread that traces and compiles: as the main thread has on most systems, and more, since XLA recurses.
const STACK: usize = 64 << 20;

/// Whether somebody asked this process to stop.
#[derive(Debug, Clone, Default)]
pub struct StopRequest(Arc<AtomicBool>);

impl StopRequest {
    /// Starts to listen. The first signal asks for a stop after the current step; a second Ctrl-C ends the process at
    /// once.
    ///
    /// # Errors
    /// If the system refuses a handler.
    pub fn listen() -> io::Result<Self> {
        let request = StopRequest::default();
        // Registered first, so that it sees the flag as the signals before left it.
        flag::register_conditional_shutdown(SIGINT, 130, request.0.clone())?;
        for signal in [SIGINT, SIGTERM, SIGUSR1, SIGUSR2] {
            flag::register(signal, request.0.clone())?;
        }
        Ok(request)
    }

    /// Whether a signal came to this process.
    pub fn is_made(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether a signal came to any rank: they reach the ranks at different times, and all must stop at the same point.
    /// All ranks must call this at the same point.
    pub fn is_agreed(&self, world: &World) -> bool {
        world.all_reduce_max(self.is_made().into()) > 0
    }

    /// Does what nothing can interrupt, such as compiling, in a thread of its own. Gives its result when all ranks have
    /// theirs, and `None` as soon as a signal comes to any of them; the work then goes on until the process ends. All
    /// ranks must call this at the same point.
    ///
    /// # Errors
    /// What the work met, as [`World::agree`] gives it; the system has no thread left.
    pub fn unless_made<T: Send + 'static>(
        &self,
        world: &World,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<Option<T>> {
        let (sender, receiver) = mpsc::channel();
        let builder = thread::Builder::new().name("compile".into()).stack_size(STACK);
        // Nobody takes the result of work that came too late.
        let worker = builder.spawn(move || drop(sender.send(work()))).or_report()?;
        let mut done = None;
        loop {
            match receiver.recv_timeout(LOOK_EVERY) {
                Ok(result) => done = Some(result),
                Err(RecvTimeoutError::Disconnected) if done.is_none() => break,
                Err(RecvTimeoutError::Disconnected) => thread::sleep(LOOK_EVERY),
                Err(RecvTimeoutError::Timeout) => {}
            }
            // The greatest of the votes counts: stop, wait for me, go on.
            let vote = if self.is_made() { 2 } else { u32::from(done.is_none()) };
            match (world.all_reduce_max(vote), done.take()) {
                (0, Some(result)) => return world.agree(result).map(Some),
                (0 | 1, result) => done = result,
                _ => return Ok(None),
            }
        }
        // Gone without a result: it panicked, and that is this thread's end too.
        std::panic::resume_unwind(worker.join().expect_err("a worker that ends well sends its result"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_a_request_and_not_the_end() {
        let request = StopRequest::listen().unwrap();
        assert!(!request.is_made());
        signal_hook::low_level::raise(SIGUSR1).unwrap();
        assert!(request.is_made());
    }

    #[test]
    fn work_is_waited_for_until_a_stop_is_asked_for() {
        let (request, world) = (StopRequest::default(), World::alone());
        assert_eq!(request.unless_made(&world, || Ok(3)).unwrap(), Some(3));
        let error = request.unless_made::<()>(&world, || Err(miette::miette!("no memory"))).unwrap_err();
        assert_eq!(error.to_string(), "no memory");
        let (sender, receiver) = mpsc::channel::<()>();
        request.0.store(true, Ordering::Relaxed);
        assert_eq!(request.unless_made(&world, move || Ok(receiver.recv().is_ok())).unwrap(), None);
        drop(sender);
    }
}
