//! From a Rust function on tensors to an XLA executable: tracer, autodiff, StableHLO, jit. Knows no model, file or MPI.

pub mod autodiff;
mod cache;
mod control;
pub mod cost;
pub mod error;
mod indexing;
pub mod interpreter;
mod jit;
mod math;
pub mod ops;
pub mod passes;
pub mod primitive;
pub mod program;
pub mod properties;
pub mod random;
pub mod stablehlo;
mod trace;

pub use autodiff::{Pullback, grad, jvp, value_and_grad, vjp};
pub use cache::{Cache, CacheTally, CacheUsage};
pub use control::{remat, scan, while_loop};
pub use cost::Cost;
pub use error::{TraceError, TraceErrorKind, TypeError};
pub use indexing::{concatenate, stack};
pub use jit::{Jit, JitError, Traced, jit, to_device, to_host, types_of};
pub use math::Operand;
pub use ops::barrier::optimization_barrier;
pub use ops::conv_config::ConvConfig;
pub use ops::dot_general::DotDims;
pub use program::{Program, ProgramCost};
pub use random::Key;
pub use trace::{Tensor, Trace, trace};
pub use twinflow_array::{
    DType, Element, HostArray, Layout, Leaf, ParamPath, Place, Shape, TensorType, Tree, by_ref, leaves, map, paths,
    unflatten,
};

/// The door to XLA's plugins: clients, devices, buffers, compile options.
pub use twinflow_pjrt as pjrt;
