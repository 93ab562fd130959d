//! Requests to stop: Ctrl-C, SIGTERM, and the signals that mpirun and Slurm forward (SIGUSR1, SIGUSR2).

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use signal_hook::{
    consts::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2},
    flag,
};

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

    /// Whether a signal came.
    pub fn is_made(&self) -> bool {
        self.0.load(Ordering::Relaxed)
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
}
