//! What an operation is: its type rule, lowering, derivatives and meaning in one place.
//!
//! An operation with a fixed number of operands and one result implements [`Primitive`]; one with many or a varying
//! number implements [`Op`] itself, and [`Bodies`] if it runs programs. An operation without a gradient does not compile,
//! nor does one that is not in the list of [`crate::ops`].

use std::{any::Any, fmt::Debug, sync::Arc};

use ndarray::ArrayD;
use twinflow_array::{HostArray, TensorType};

use crate::{
    cost::Cost,
    error::TypeError,
    program::Program,
    properties::Properties,
    stablehlo::{Block, Value},
    trace::Tensor,
};

/// An operation in the list of [`crate::ops`]: none is left out of what the tests run over.
pub trait Registered {}

/// An operation with operands that it accepts. Float operands are f64 and lie where the derivative exists.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The operation.
    pub op: Arc<dyn Op>,
    /// Its operands.
    pub operands: Vec<HostArray>,
}

/// An operation with `N` operands and one result.
pub trait Primitive<const N: usize>: Registered + Debug + PartialEq + Send + Sync + 'static {
    /// As in listings and errors.
    const NAME: &'static str;

    /// What passes and derivatives may do with it.
    const PROPERTIES: Properties;

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
pub trait Op: Registered + Any + Debug + Send + Sync {
    /// As in listings and errors.
    fn name(&self) -> &'static str;

    /// As in listings; none where the name says all.
    fn attributes(&self) -> String {
        String::new()
    }

    /// What passes and derivatives may do with it.
    fn properties(&self) -> Properties;

    /// Whether the other one gives the same results for the same operands, so that one of them will do. Never for what
    /// is written twice on purpose, and so not by default: barriers, and what runs programs.
    fn equals(&self, _other: &dyn Op) -> bool {
        false
    }

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

    /// The operation as one that runs programs, if it does.
    fn bodies(&self) -> Option<&dyn Bodies> {
        None
    }

    /// Applications that the tests check: value, both derivatives, StableHLO.
    fn samples() -> Vec<Sample>
    where
        Self: Sized;
}

/// An operation that runs programs: a loop, or rematerialisation.
pub trait Bodies {
    /// The programs.
    fn programs(&self) -> Vec<&Program>;

    /// The same operation with other programs of the same types, as many as it has.
    fn with_programs(&self, programs: Vec<Program>) -> Arc<dyn Op>;

    /// How often each runs; `None` if only the run decides.
    fn steps(&self) -> Option<u64> {
        None
    }

    /// The same operation with what its reverse rule needs as more results, and those results' types, if derivatives
    /// are taken for the operands `asked`; `None` if the rule needs no more than there is.
    fn saving_residuals(&self, _asked: &[bool]) -> Option<(Arc<dyn Op>, Vec<TensorType>)> {
        None
    }

    /// The same operation without what serves none of the results that are `read`; `None` if it cannot do without.
    fn prune(&self, _read: &[bool]) -> Option<Pruned> {
        None
    }
}

/// An operation without its dead parts, and which operands and results it keeps.
pub struct Pruned {
    /// The rest.
    pub op: Arc<dyn Op>,
    /// Indices of the operands that it still takes.
    pub operands: Vec<usize>,
    /// Indices of the results that it still gives.
    pub results: Vec<usize>,
}

impl dyn Op {
    /// The programs that it runs, if any.
    pub fn programs(&self) -> Vec<&Program> {
        self.bodies().map_or(Vec::new(), Bodies::programs)
    }

    /// The primitive of this kind, if it is one.
    pub(crate) fn primitive<const N: usize, P: Primitive<N>>(&self) -> Option<&P> {
        (self as &dyn Any).downcast_ref::<Fixed<N, P>>().map(|fixed| &fixed.0)
    }
}

/// [`Op::equals`] of operations whose attributes say all.
pub(crate) fn same<O: Op + PartialEq>(op: &O, other: &dyn Op) -> bool {
    (other as &dyn Any).downcast_ref::<O>() == Some(op)
}

/// Stores an operation of fixed arity as an [`Op`].
pub(crate) fn fixed<const N: usize, P: Primitive<N>>(primitive: P) -> Arc<dyn Op> {
    Arc::new(Fixed(primitive))
}

/// The arity wrapper: checks the number of operands once and hands on arrays.
#[derive(Debug, PartialEq)]
pub(crate) struct Fixed<const N: usize, P>(P);

impl<const N: usize, P: Registered> Registered for Fixed<N, P> {}

impl<const N: usize, P: Primitive<N>> Op for Fixed<N, P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn attributes(&self) -> String {
        let text = format!("{:?}", self.0);
        let start = text.find([' ', '(']).unwrap_or(text.len());
        text[start..].trim().to_owned()
    }

    fn properties(&self) -> Properties {
        P::PROPERTIES
    }

    fn equals(&self, other: &dyn Op) -> bool {
        same(self, other)
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

    fn samples() -> Vec<Sample> {
        P::samples()
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

/// Nothing, if a program with such inputs accepts the operands.
pub(crate) fn require_inputs(operands: &[TensorType], inputs: &[TensorType]) -> Result<(), TypeError> {
    if inputs.len() != operands.len() {
        return Err(TypeError::Arity { expected: inputs.len(), found: operands.len() });
    }
    operands.iter().zip(inputs).try_for_each(|(operand, input)| operand.require_same(input).map(|_| ()))
}

/// Nothing, if a loop's body gives back each carry with the type that it had.
pub(crate) fn require_carries(before: &[TensorType], after: &[TensorType]) -> Result<(), TypeError> {
    before.iter().zip(after).try_for_each(|(before, after)| {
        before.require(before == after, || format!("a carry comes back from the loop's body as {after}"))
    })
}
