//! What an operation is: its type rule, lowering, derivatives and meaning in one place.
//!
//! An operation with a fixed number of operands and one result implements [`Primitive`]; one with many or a varying
//! number implements [`Op`] itself. No method has a default: an operation without a gradient does not compile.

use std::{any::Any, fmt::Debug, sync::Arc};

use ndarray::ArrayD;
use twinflow_array::TensorType;

use crate::{
    cost::Cost,
    error::TypeError,
    ops::Sample,
    program::Program,
    stablehlo::{Block, Value},
    trace::Tensor,
};

/// An operation with `N` operands and one result.
pub trait Primitive<const N: usize>: Debug + Send + Sync + 'static {
    /// The name in listings and errors.
    const NAME: &'static str;

    /// The type of the result.
    ///
    /// # Errors
    /// Why the operands do not fit.
    fn infer(&self, operands: [&TensorType; N]) -> Result<TensorType, TypeError>;

    /// The StableHLO that computes it; returns the result's value, of type `ty`.
    fn lower(&self, operands: [Value; N], ty: &TensorType, block: &mut Block) -> Value;

    /// Reverse rule: the operands' cotangents from the result's. `None` where there is no dependence.
    fn vjp<'t>(&self, x: [Tensor<'t>; N], y: Tensor<'t>, y_bar: Tensor<'t>) -> [Option<Tensor<'t>>; N];

    /// Forward rule: the result's tangent from the operands' (`None` is zero).
    fn jvp<'t>(&self, x: [Tensor<'t>; N], y: Tensor<'t>, x_dot: [Option<Tensor<'t>>; N]) -> Option<Tensor<'t>>;

    /// The meaning, on f64 (the reference interpreter); the result is then wrapped to `ty`'s element type.
    fn eval(&self, operands: [&ArrayD<f64>; N], ty: &TensorType) -> ArrayD<f64>;

    /// What it computes and moves, by itself.
    fn cost(&self, operands: [&TensorType; N], result: &TensorType) -> Cost;

    /// Applications that the tests check: value, both derivatives, StableHLO.
    fn samples() -> Vec<Sample>;
}

/// An operation on slices of operands and results; what the tracer stores.
///
/// Cotangents and tangents are `None` where they are zero or where the value is not a float.
pub trait Op: Debug + Send + Sync + 'static {
    /// The name in listings and errors.
    fn name(&self) -> &'static str;

    /// The attributes for listings and for telling equal operations apart; empty if there are none.
    fn attributes(&self) -> String;

    /// The types of the results.
    ///
    /// # Errors
    /// Why the operands do not fit.
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, TypeError>;

    /// The StableHLO that computes it; returns the results' values.
    fn lower(&self, operands: &[Value], results: &[TensorType], block: &mut Block) -> Vec<Value>;

    /// Reverse rule: the operands' cotangents from the results'.
    fn vjp<'t>(&self, x: &[Tensor<'t>], y: &[Tensor<'t>], y_bar: &[Option<Tensor<'t>>]) -> Vec<Option<Tensor<'t>>>;

    /// Forward rule: the results' tangents from the operands'.
    fn jvp<'t>(&self, x: &[Tensor<'t>], y: &[Tensor<'t>], x_dot: &[Option<Tensor<'t>>]) -> Vec<Option<Tensor<'t>>>;

    /// The meaning, on f64 (the reference interpreter).
    fn eval(&self, operands: &[ArrayD<f64>], results: &[TensorType]) -> Vec<ArrayD<f64>>;

    /// What it computes and moves, by itself; without its bodies.
    fn cost(&self, operands: &[TensorType], results: &[TensorType]) -> Cost;

    /// The programs inside (bodies of loops).
    fn bodies(&self) -> Vec<&Program>;

    /// The same operation with other bodies, after a pass has run over them; `None` for operations without bodies.
    fn with_bodies(&self, bodies: Vec<Program>) -> Option<Arc<dyn Op>>;

    /// Applications that the tests check: value, both derivatives, StableHLO.
    fn samples() -> Vec<Sample>
    where
        Self: Sized;

    /// The operation itself, for passes that treat one kind specially.
    fn as_any(&self) -> &dyn Any;
}

/// Stores an operation of fixed arity as an [`Op`].
pub(crate) fn fixed<const N: usize, P: Primitive<N>>(primitive: P) -> Arc<dyn Op> {
    Arc::new(Fixed(primitive))
}

/// The arity wrapper: checks the number of operands once and hands on arrays.
#[derive(Debug)]
pub(crate) struct Fixed<const N: usize, P>(pub(crate) P);

impl<const N: usize, P: Primitive<N>> Op for Fixed<N, P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn attributes(&self) -> String {
        let text = format!("{:?}", self.0);
        let start = text.find([' ', '(']).unwrap_or(text.len());
        text[start..].trim().to_owned()
    }

    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, TypeError> {
        let refs: Vec<&TensorType> = operands.iter().collect();
        let operands: [&TensorType; N] =
            refs.try_into().map_err(|_| TypeError::Arity { expected: N, found: operands.len() })?;
        Ok(vec![self.0.infer(operands)?])
    }

    fn lower(&self, operands: &[Value], results: &[TensorType], block: &mut Block) -> Vec<Value> {
        let operands = std::array::from_fn(|i| operands[i].clone());
        vec![self.0.lower(operands, &results[0], block)]
    }

    fn vjp<'t>(&self, x: &[Tensor<'t>], y: &[Tensor<'t>], y_bar: &[Option<Tensor<'t>>]) -> Vec<Option<Tensor<'t>>> {
        match y_bar[0] {
            Some(y_bar) => self.0.vjp(std::array::from_fn(|i| x[i]), y[0], y_bar).to_vec(),
            None => vec![None; N],
        }
    }

    fn jvp<'t>(&self, x: &[Tensor<'t>], y: &[Tensor<'t>], x_dot: &[Option<Tensor<'t>>]) -> Vec<Option<Tensor<'t>>> {
        vec![self.0.jvp(std::array::from_fn(|i| x[i]), y[0], std::array::from_fn(|i| x_dot[i]))]
    }

    fn eval(&self, operands: &[ArrayD<f64>], results: &[TensorType]) -> Vec<ArrayD<f64>> {
        vec![self.0.eval(std::array::from_fn(|i| &operands[i]), &results[0])]
    }

    fn cost(&self, operands: &[TensorType], results: &[TensorType]) -> Cost {
        self.0.cost(std::array::from_fn(|i| &operands[i]), &results[0])
    }

    fn bodies(&self) -> Vec<&Program> {
        Vec::new()
    }

    fn with_bodies(&self, _: Vec<Program>) -> Option<Arc<dyn Op>> {
        None
    }

    fn samples() -> Vec<Sample> {
        P::samples()
    }

    fn as_any(&self) -> &dyn Any {
        &self.0
    }
}

/// The sum of tangents where some are zero.
pub(crate) fn add_some<'t>(terms: impl IntoIterator<Item = Option<Tensor<'t>>>) -> Option<Tensor<'t>> {
    terms.into_iter().flatten().reduce(|a, b| a + b)
}

/// Requirements of type rules.
pub(crate) trait Require {
    /// The type, if it is an integer.
    fn require_integer(&self) -> Result<TensorType, TypeError>;
    /// The type, if it is bool.
    fn require_bool(&self) -> Result<TensorType, TypeError>;
    /// The type, if the other is the same.
    fn require_same(&self, other: &TensorType) -> Result<TensorType, TypeError>;
    /// Nothing, if the rule holds; else an error with the rule's text.
    fn require(&self, holds: bool, rule: impl FnOnce() -> String) -> Result<(), TypeError>;
}

impl Require for TensorType {
    fn require_integer(&self) -> Result<TensorType, TypeError> {
        if self.dtype.is_integer() { Ok(self.clone()) } else { Err(kind("an integer", self)) }
    }

    fn require_bool(&self) -> Result<TensorType, TypeError> {
        if self.dtype == twinflow_array::DType::Bool { Ok(self.clone()) } else { Err(kind("bool", self)) }
    }

    fn require_same(&self, other: &TensorType) -> Result<TensorType, TypeError> {
        if self.dtype != other.dtype {
            Err(TypeError::DTypes(self.clone(), other.clone()))
        } else if self.shape != other.shape {
            Err(TypeError::Shapes(self.clone(), other.clone()))
        } else {
            Ok(self.clone())
        }
    }

    fn require(&self, holds: bool, rule: impl FnOnce() -> String) -> Result<(), TypeError> {
        if holds { Ok(()) } else { Err(TypeError::Rule { rule: rule(), ty: self.clone() }) }
    }
}

fn kind(expected: &'static str, found: &TensorType) -> TypeError {
    TypeError::Kind { expected, found: found.clone() }
}
