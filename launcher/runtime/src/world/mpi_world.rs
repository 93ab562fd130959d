//! The world of an MPI job.

use mpi::{
    Threading,
    collective::SystemOperation,
    environment::Universe,
    topology::SimpleCommunicator,
    traits::{Communicator, CommunicatorCollectives, Root},
};

use super::{WorldError, buckets::buckets};

/// Elements per all-reduce call: small leaves share one, large ones take several. Buckets of 4 MB stay in the cache: 100
/// MB over two ranks took 23-83 ms so, and 60-190 ms in one call.
const BUCKET: usize = 1 << 20;

/// An initialised MPI and its communicator of all processes; finalised on drop.
pub struct Job {
    comm: SimpleCommunicator,
    // Dropped last: it finalises MPI.
    _universe: Universe,
}

/// Ends the job from any thread.
pub struct AbortHandle;

impl Job {
    /// Initialises MPI.
    pub fn start() -> Result<Option<Self>, WorldError> {
        // Multiple, because a panic hook may call MPI_Abort from the loader's thread.
        let (universe, _) =
            mpi::initialize_with_threading(Threading::Multiple).ok_or(WorldError::AlreadyInitialised)?;
        Ok(Some(Job { comm: universe.world(), _universe: universe }))
    }

    pub fn rank(&self) -> usize {
        self.comm.rank() as usize
    }

    pub fn size(&self) -> usize {
        self.comm.size() as usize
    }

    /// The rank among the processes that share this machine's memory.
    pub fn local_rank(&self) -> usize {
        self.comm.split_shared(self.comm.rank()).rank() as usize
    }

    /// Replaces the elements of all pieces by their sums over the ranks.
    pub fn all_reduce_sum(&self, pieces: &mut [&mut [f32]]) {
        for mut bucket in buckets(pieces, BUCKET) {
            let own: Vec<f32> = bucket.iter().flat_map(|piece| piece.iter()).copied().collect();
            let mut sum = vec![0.0; own.len()];
            self.comm.all_reduce_into(&own[..], &mut sum[..], SystemOperation::sum());
            let mut rest = &sum[..];
            for piece in &mut bucket {
                let (own, others) = rest.split_at(piece.len());
                piece.copy_from_slice(own);
                rest = others;
            }
        }
    }

    pub fn all_reduce_max(&self, value: u32) -> u32 {
        let mut greatest = 0;
        self.comm.all_reduce_into(&value, &mut greatest, SystemOperation::max());
        greatest
    }

    pub fn broadcast(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let root = self.comm.process_at_rank(0);
        let mut length = bytes.len() as u64;
        root.broadcast_into(&mut length);
        bytes.resize(length as usize, 0);
        // Open MPI refuses an empty buffer.
        if length > 0 {
            root.broadcast_into(&mut bytes[..]);
        }
        bytes
    }

    pub fn abort(&self, code: i32) -> ! {
        self.comm.abort(code)
    }

    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle
    }
}

impl AbortHandle {
    pub fn abort(&self, code: i32) -> ! {
        SimpleCommunicator::world().abort(code)
    }
}

/// The library's own version text, its first line.
pub fn library() -> Option<String> {
    let version = mpi::environment::library_version().ok()?;
    Some(version.split([',', '\n']).next().unwrap_or_default().trim_matches(['\0', ' ']).to_owned())
}
