//! Rearrangement without arithmetic: broadcast, reshape, transpose.

use ndarray::{ArrayD, IxDyn};
use twinflow_array::{Shape, TensorType};

use super::prelude::*;
use crate::properties::Fold;

/// `y[i] = x[i[dims]]`: operand dim k becomes result dim `dims[k]`; size 1 repeats. The adjoint sums.
#[derive(Clone, Debug, PartialEq)]
pub struct BroadcastInDim {
    pub shape: Shape,
    /// The result dim of each operand dim, ascending.
    pub dims: Vec<usize>,
}

impl Primitive<1> for BroadcastInDim {
    const NAME: &'static str = "broadcast_in_dim";
    const PROPERTIES: Properties = Properties::FREE.folding(Fold::Rearranged);

    fn infer(&self, [x]: [&TensorType; 1]) -> Result<TensorType, TypeError> {
        let ascending = self.dims.is_sorted_by(|a, b| a < b) && self.dims.len() == x.shape.rank();
        let fits = ascending
            && self
                .dims
                .iter()
                .zip(x.shape.iter())
                .all(|(&dim, &size)| self.shape.get(dim).is_some_and(|&target| size == target || size == 1));
        x.require(fits, || format!("cannot broadcast to {} with dims {:?}", self.shape, self.dims))?;
        Ok(x.with_shape(self.shape.clone()))
    }

    fn lower(&self, [x]: [Value; 1], ty: &TensorType, block: &mut Block) -> Value {
        block.call("stablehlo.broadcast_in_dim", &[&x], &format!(", dims = {:?}", self.dims), ty)
    }

    fn vjp<'t>(&self, [x]: [Tensor<'t>; 1], _: Tensor<'t>, y_bar: Tensor<'t>) -> [Option<Tensor<'t>>; 1] {
        let shape = x.shape();
        let repeated = |dim: &usize| match self.dims.iter().position(|d| d == dim) {
            Some(k) => shape[k] != self.shape[*dim],
            None => true,
        };
        let summed: Vec<isize> = (0..self.shape.rank()).filter(repeated).map(|dim| dim as isize).collect();
        [Some(y_bar.sum(&summed).reshape(shape))]
    }

    fn jvp<'t>(&self, _: [Tensor<'t>; 1], _: Tensor<'t>, [x_dot]: [Option<Tensor<'t>>; 1]) -> Option<Tensor<'t>> {
        Some(x_dot?.broadcast_in_dim(self.shape.clone(), &self.dims))
    }

    fn eval(&self, [x]: [&ArrayD<f64>; 1], ty: &TensorType) -> ArrayD<f64> {
        ArrayD::from_shape_fn(IxDyn(&ty.shape), |index| {
            let at: Vec<usize> = self.dims.iter().enumerate().map(|(k, &dim)| index[dim] % x.shape()[k]).collect();
            x[IxDyn(&at)]
        })
    }

    fn cost(&self, [x]: [&TensorType; 1], y: &TensorType) -> Cost {
        Cost::moving([x, y])
    }

    fn samples() -> Vec<Sample> {
        let to = |shape: [usize; 3], dims: &[usize]| BroadcastInDim { shape: shape.into(), dims: dims.to_vec() };
        vec![
            Sample::uniform(to([2, 3, 4], &[1]), [&[3]], -1.0..1.0),
            Sample::uniform(to([2, 3, 4], &[0, 2]), [&[2, 1]], -1.0..1.0),
            Sample::uniform(to([2, 3, 1], &[]), [&[]], -1.0..1.0),
        ]
    }
}

/// `y = x` with the same elements in row-major order under another shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Reshape {
    pub shape: Shape,
}

impl Primitive<1> for Reshape {
    const NAME: &'static str = "reshape";
    const PROPERTIES: Properties = Properties::FREE.folding(Fold::Rearranged);

    fn infer(&self, [x]: [&TensorType; 1]) -> Result<TensorType, TypeError> {
        let fits = x.shape.elements() == self.shape.elements();
        x.require(fits, || format!("cannot reshape {} elements to {}", x.shape.elements(), self.shape))?;
        Ok(x.with_shape(self.shape.clone()))
    }

    fn lower(&self, [x]: [Value; 1], ty: &TensorType, block: &mut Block) -> Value {
        block.call("stablehlo.reshape", &[&x], "", ty)
    }

    fn vjp<'t>(&self, [x]: [Tensor<'t>; 1], _: Tensor<'t>, y_bar: Tensor<'t>) -> [Option<Tensor<'t>>; 1] {
        [Some(y_bar.reshape(x.shape()))]
    }

    fn jvp<'t>(&self, _: [Tensor<'t>; 1], _: Tensor<'t>, [x_dot]: [Option<Tensor<'t>>; 1]) -> Option<Tensor<'t>> {
        Some(x_dot?.reshape(self.shape.clone()))
    }

    fn eval(&self, [x]: [&ArrayD<f64>; 1], ty: &TensorType) -> ArrayD<f64> {
        let elements: Vec<f64> = x.iter().copied().collect();
        ArrayD::from_shape_vec(IxDyn(&ty.shape), elements).expect("the element counts agree")
    }

    /// The elements stay where they are.
    fn cost(&self, _: [&TensorType; 1], _: &TensorType) -> Cost {
        Cost::FREE
    }

    fn samples() -> Vec<Sample> {
        vec![Sample::uniform(Reshape { shape: [3, 4].into() }, [&[2, 6]], -1.0..1.0)]
    }
}

/// `y[i[0], i[1], ..] = x[..]` with result dim k being operand dim `permutation[k]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Transpose {
    /// The operand dim of each result dim.
    pub permutation: Vec<usize>,
}

impl Transpose {
    fn inverse(&self) -> Vec<usize> {
        let mut inverse = vec![0; self.permutation.len()];
        self.permutation.iter().enumerate().for_each(|(result, &operand)| inverse[operand] = result);
        inverse
    }
}

impl Primitive<1> for Transpose {
    const NAME: &'static str = "transpose";
    const PROPERTIES: Properties = Properties::CHEAP;

    fn infer(&self, [x]: [&TensorType; 1]) -> Result<TensorType, TypeError> {
        let mut sorted = self.permutation.clone();
        sorted.sort_unstable();
        let fits = sorted.iter().copied().eq(0..x.shape.rank());
        x.require(fits, || format!("{:?} is no permutation of the dims", self.permutation))?;
        Ok(x.with_shape(self.permutation.iter().map(|&dim| x.shape[dim]).collect::<Shape>()))
    }

    fn lower(&self, [x]: [Value; 1], ty: &TensorType, block: &mut Block) -> Value {
        block.call("stablehlo.transpose", &[&x], &format!(", dims = {:?}", self.permutation), ty)
    }

    fn vjp<'t>(&self, _: [Tensor<'t>; 1], _: Tensor<'t>, y_bar: Tensor<'t>) -> [Option<Tensor<'t>>; 1] {
        [Some(y_bar.transpose(&self.inverse()))]
    }

    fn jvp<'t>(&self, _: [Tensor<'t>; 1], _: Tensor<'t>, [x_dot]: [Option<Tensor<'t>>; 1]) -> Option<Tensor<'t>> {
        Some(x_dot?.transpose(&self.permutation))
    }

    fn eval(&self, [x]: [&ArrayD<f64>; 1], _: &TensorType) -> ArrayD<f64> {
        let view = x.view().permuted_axes(self.permutation.clone());
        view.as_standard_layout().into_owned()
    }

    fn cost(&self, [x]: [&TensorType; 1], y: &TensorType) -> Cost {
        Cost::moving([x, y])
    }

    fn samples() -> Vec<Sample> {
        vec![Sample::uniform(Transpose { permutation: vec![2, 0, 1] }, [&[2, 3, 4]], -1.0..1.0)]
    }
}
