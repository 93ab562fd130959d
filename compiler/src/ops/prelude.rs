//! What the operations' files share.

pub(super) use super::{Sample, sample};
pub(super) use crate::{
    cost::Cost,
    error::TypeError,
    primitive::{Op, Primitive, Require, add_some, same},
    program::Program,
    properties::Properties,
    stablehlo::{Block, Value},
    trace::Tensor,
};
