//! The operations, one file per family. [`catalogue`] lists them all: tests run over it.

pub(crate) mod all_reduce;
pub(crate) mod barrier;
pub(crate) mod compare;
pub(crate) mod constant;
pub(crate) mod conv_config;
pub(crate) mod convert;
pub(crate) mod convolution;
pub(crate) mod cumulative;
mod depthwise;
pub(crate) mod dot_general;
pub(crate) mod dynamic_slice;
pub(crate) mod elementwise;
pub(crate) mod gather;
pub(crate) mod identity;
pub(crate) mod iota;
pub(crate) mod logic;
mod prelude;
pub(crate) mod random;
pub(crate) mod reduce;
pub(crate) mod remat;
mod sample;
pub(crate) mod scan;
pub(crate) mod shape;
pub(crate) mod slice;
pub(crate) mod sort;
pub(crate) mod while_loop;

pub use crate::primitive::Sample;
use crate::primitive::{Op, Primitive, Registered};

/// Sample applications of every operation of one family.
pub struct Family {
    /// The family's name: the file it lives in.
    pub name: &'static str,
    /// Operations with operands for them.
    pub samples: Vec<Sample>,
}

fn primitive_samples<const N: usize, P: Primitive<N>>() -> Vec<Sample> {
    P::samples()
}

fn op_samples<O: Op>() -> Vec<Sample> {
    O::samples()
}

macro_rules! families {
    ($($family:ident { $($primitive:ident),* ; $($op:ident),* })*) => {
        $($(impl Registered for $family::$primitive {})* $(impl Registered for $family::$op {})*)*

        /// Every operation with sample operands, by family.
        pub fn catalogue() -> Vec<Family> {
            vec![$(Family {
                name: stringify!($family),
                samples: [
                    $(primitive_samples::<_, $family::$primitive>(),)*
                    $(op_samples::<$family::$op>(),)*
                ].concat(),
            }),*]
        }
    };
}

families! {
    all_reduce { AllReduceSum; }
    barrier { ; OptimizationBarrier }
    compare { Compare, Select; }
    constant { Constant; }
    convert { Convert; }
    convolution { Convolution; }
    cumulative { CumulativeSum; }
    dot_general { DotGeneral; }
    dynamic_slice { ; DynamicSlice, DynamicUpdateSlice }
    elementwise {
        Abs, Add, Ceil, Clamp, Cos, Div, Erf, Exp, ExpM1, Floor, Log, Log1p, Max, Min, Mul, Neg, Pow, Rem, Round,
        Rsqrt, Sigmoid, Sign, Sin, Sqrt, Sub, Tan, Tanh;
    }
    gather { Gather, ScatterAdd; }
    identity { Alias, StopGradient; }
    iota { Iota; }
    logic { And, Not, Or, ShiftLeft, ShiftRight, Xor; }
    random { ; Threefry2x32 }
    reduce { ReduceMax, ReduceMin, ReduceSum; }
    remat { ; Remat }
    scan { ; Scan }
    shape { BroadcastInDim, Reshape, Transpose; }
    slice { Pad, Reverse, Slice; Concatenate }
    sort { ; Sort }
    while_loop { ; While }
}
