//! Parts and unions of tensors: slice, pad, reverse, concatenate.

use std::sync::Arc;

use ndarray::{ArrayD, Axis, IxDyn, concatenate};
use twinflow_array::{Shape, TensorType};

use super::prelude::*;

/// `y[i] = x[starts + i * strides]` up to, not including, `limits`. The adjoint puts zeros around and between.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    pub starts: Vec<usize>,
    /// The index after the last along each dim.
    pub limits: Vec<usize>,
    /// The step along each dim, at least 1.
    pub strides: Vec<usize>,
}

impl Slice {
    /// `[0:4, 1:9:2]`.
    fn ranges(&self) -> String {
        let bounds = self.starts.iter().zip(&self.limits).zip(&self.strides);
        let ranges: Vec<String> = bounds.map(|((start, limit), stride)| format!("{start}:{limit}:{stride}")).collect();
        format!("[{}]", ranges.join(", "))
    }

    fn size(&self, dim: usize) -> usize {
        (self.limits[dim] - self.starts[dim]).div_ceil(self.strides[dim])
    }

    /// The padding that puts the elements back where they were in `shape`.
    fn inverse(&self, shape: &Shape) -> Vec<(i64, i64, i64)> {
        let around = |dim: usize| {
            let (start, stride) = (self.starts[dim], self.strides[dim]);
            let span = self.size(dim).checked_sub(1).map_or(0, |gaps| gaps * stride + 1);
            (start as i64, (shape[dim] - start - span) as i64, stride as i64 - 1)
        };
        (0..shape.rank()).map(around).collect()
    }
}

impl Primitive<1> for Slice {
    const NAME: &'static str = "slice";
    const PROPERTIES: Properties = Properties::CHEAP;

    fn infer(&self, [x]: [&TensorType; 1]) -> Result<TensorType, TypeError> {
        let rank = x.shape.rank();
        let ranks = [self.starts.len(), self.limits.len(), self.strides.len()] == [rank; 3];
        let inside = |dim: usize| self.starts[dim] <= self.limits[dim] && self.limits[dim] <= x.shape[dim];
        let fits = ranks && (0..rank).all(|dim| inside(dim) && self.strides[dim] > 0);
        x.require(fits, || format!("cannot take the slice {}", self.ranges()))?;
        Ok(x.with_shape((0..rank).map(|dim| self.size(dim)).collect::<Shape>()))
    }

    fn lower(&self, [x]: [Value; 1], ty: &TensorType, block: &mut Block) -> Value {
        block.call("stablehlo.slice", &[&x], &format!(" {}", self.ranges()), ty)
    }

    fn vjp<'t>(&self, [x]: [Tensor<'t>; 1], _: Tensor<'t>, y_bar: Tensor<'t>) -> [Option<Tensor<'t>>; 1] {
        [Some(y_bar.pad(0.0, &self.inverse(&x.shape())))]
    }

    fn jvp<'t>(&self, _: [Tensor<'t>; 1], _: Tensor<'t>, [x_dot]: [Option<Tensor<'t>>; 1]) -> Option<Tensor<'t>> {
        Some(x_dot?.slice_strided(&self.starts, &self.limits, &self.strides))
    }

    fn eval(&self, [x]: [&ArrayD<f64>; 1], ty: &TensorType) -> ArrayD<f64> {
        ArrayD::from_shape_fn(IxDyn(&ty.shape), |index| {
            let at: Vec<usize> = (0..x.ndim()).map(|dim| self.starts[dim] + index[dim] * self.strides[dim]).collect();
            x[IxDyn(&at)]
        })
    }

    fn cost(&self, _: [&TensorType; 1], y: &TensorType) -> Cost {
        Cost::moving([y, y])
    }

    fn samples() -> Vec<Sample> {
        let slice = |starts: [usize; 2], limits: [usize; 2], strides: [usize; 2]| {
            let op = Slice { starts: starts.into(), limits: limits.into(), strides: strides.into() };
            Sample::uniform(op, [&[4, 7]], -1.0..1.0)
        };
        vec![slice([1, 0], [3, 7], [1, 1]), slice([0, 1], [4, 6], [3, 2])]
    }
}

/// `y` is `x` with `interior` fillings between neighbours, `low` before and `high` after them (negative: cut off).
/// The adjoint takes the elements out again.
#[derive(Clone, Debug)]
pub struct Pad {
    pub value: f64,
    /// `(low, high, interior)` of each dim.
    pub dims: Vec<(i64, i64, i64)>,
}

impl Pad {
    fn size(&self, dim: usize, size: usize) -> i64 {
        let (low, high, interior) = self.dims[dim];
        let size = size as i64;
        low + high + size + (size - 1).max(0) * interior
    }
}

impl PartialEq for Pad {
    /// By bits: -0 is not 0.
    fn eq(&self, other: &Self) -> bool {
        (self.value.to_bits(), &self.dims) == (other.value.to_bits(), &other.dims)
    }
}

impl Primitive<1> for Pad {
    const NAME: &'static str = "pad";
    const PROPERTIES: Properties = Properties::SAVE;

    fn infer(&self, [x]: [&TensorType; 1]) -> Result<TensorType, TypeError> {
        let rank = x.shape.rank();
        let fits = self.dims.len() == rank
            && self.dims.iter().all(|&(_, _, interior)| interior >= 0)
            && (0..rank).all(|dim| self.size(dim, x.shape[dim]) >= 0);
        x.require(fits, || format!("cannot pad by (low, high, interior) = {:?}", self.dims))?;
        Ok(x.with_shape((0..rank).map(|dim| self.size(dim, x.shape[dim]) as usize).collect::<Shape>()))
    }

    fn lower(&self, [x]: [Value; 1], ty: &TensorType, block: &mut Block) -> Value {
        let filling = block.splat(&ty.with_shape([]), self.value);
        let list = |of: fn(&(i64, i64, i64)) -> i64| self.dims.iter().map(of).collect::<Vec<_>>();
        let (low, high, interior) = (list(|dim| dim.0), list(|dim| dim.1), list(|dim| dim.2));
        let attributes = format!(", low = {low:?}, high = {high:?}, interior = {interior:?}");
        block.call("stablehlo.pad", &[&x, &filling], &attributes, ty)
    }

    fn vjp<'t>(&self, _: [Tensor<'t>; 1], _: Tensor<'t>, y_bar: Tensor<'t>) -> [Option<Tensor<'t>>; 1] {
        // What was cut off gets zeros; then every interior + 1 st element is one of x.
        let cut: Vec<_> = self.dims.iter().map(|&(low, high, _)| ((-low).max(0), (-high).max(0), 0)).collect();
        let whole = y_bar.pad(0.0, &cut);
        let starts: Vec<usize> = self.dims.iter().map(|&(low, _, _)| low.max(0) as usize).collect();
        let sizes = whole.shape();
        let limits: Vec<usize> =
            self.dims.iter().zip(sizes.iter()).map(|(&(_, high, _), size)| size - high.max(0) as usize).collect();
        let strides: Vec<usize> = self.dims.iter().map(|&(_, _, interior)| interior as usize + 1).collect();
        [Some(whole.slice_strided(&starts, &limits, &strides))]
    }

    fn jvp<'t>(&self, _: [Tensor<'t>; 1], _: Tensor<'t>, [x_dot]: [Option<Tensor<'t>>; 1]) -> Option<Tensor<'t>> {
        Some(x_dot?.pad(0.0, &self.dims))
    }

    fn eval(&self, [x]: [&ArrayD<f64>; 1], ty: &TensorType) -> ArrayD<f64> {
        let mut y = ArrayD::from_elem(IxDyn(&ty.shape), self.value);
        for (index, &value) in x.indexed_iter() {
            let place = |(dim, &(low, _, interior)): (usize, &(i64, i64, i64))| {
                usize::try_from(low + index[dim] as i64 * (interior + 1)).ok()
            };
            let at: Option<Vec<usize>> = self.dims.iter().enumerate().map(place).collect();
            if let Some(target) = at.and_then(|at| y.get_mut(IxDyn(&at))) {
                *target = value;
            }
        }
        y
    }

    fn cost(&self, [x]: [&TensorType; 1], y: &TensorType) -> Cost {
        Cost::moving([x, y])
    }

    fn samples() -> Vec<Sample> {
        let pad = |value: f64, dims: [(i64, i64, i64); 2]| {
            Sample::uniform(Pad { value, dims: dims.into() }, [&[3, 4]], -1.0..1.0)
        };
        vec![pad(0.0, [(1, 2, 0), (0, 0, 0)]), pad(0.5, [(0, 1, 2), (2, 0, 1)]), pad(0.0, [(-1, 1, 0), (-1, -2, 1)])]
    }
}

/// `y[.., i, ..] = x[.., n - 1 - i, ..]` along the dims; it is its own adjoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Reverse {
    /// The dims that are turned round, ascending.
    pub dims: Vec<usize>,
}

impl Primitive<1> for Reverse {
    const NAME: &'static str = "reverse";
    const PROPERTIES: Properties = Properties::SAVE;

    fn infer(&self, [x]: [&TensorType; 1]) -> Result<TensorType, TypeError> {
        let ascending = self.dims.is_sorted_by(|a, b| a < b) && self.dims.iter().all(|&dim| dim < x.shape.rank());
        x.require(ascending, || format!("cannot reverse dims {:?}", self.dims))?;
        Ok(x.clone())
    }

    fn lower(&self, [x]: [Value; 1], ty: &TensorType, block: &mut Block) -> Value {
        block.emit(&format!("stablehlo.reverse {}, dims = {:?} : {}", x.name, self.dims, ty.mlir()), ty)
    }

    fn vjp<'t>(&self, _: [Tensor<'t>; 1], _: Tensor<'t>, y_bar: Tensor<'t>) -> [Option<Tensor<'t>>; 1] {
        [Some(y_bar.apply(self.clone(), [y_bar]))]
    }

    fn jvp<'t>(&self, _: [Tensor<'t>; 1], _: Tensor<'t>, [x_dot]: [Option<Tensor<'t>>; 1]) -> Option<Tensor<'t>> {
        Some(x_dot?.apply(self.clone(), [x_dot?]))
    }

    fn eval(&self, [x]: [&ArrayD<f64>; 1], _: &TensorType) -> ArrayD<f64> {
        let mut y = x.clone();
        self.dims.iter().for_each(|&dim| y.invert_axis(Axis(dim)));
        y.as_standard_layout().into_owned()
    }

    fn cost(&self, [x]: [&TensorType; 1], y: &TensorType) -> Cost {
        Cost::moving([x, y])
    }

    fn samples() -> Vec<Sample> {
        vec![Sample::uniform(Reverse { dims: vec![0, 2] }, [&[2, 3, 4]], -1.0..1.0)]
    }
}

/// `y` holds the operands one after the other along `dim`. The adjoint slices.
#[derive(Clone, Debug, PartialEq)]
pub struct Concatenate {
    /// The dim along which the operands follow each other.
    pub dim: usize,
}

impl Op for Concatenate {
    fn name(&self) -> &'static str {
        "concatenate"
    }

    fn attributes(&self) -> String {
        format!("{{ dim: {} }}", self.dim)
    }

    fn properties(&self) -> Properties {
        Properties::SAVE
    }

    fn equals(&self, other: &dyn Op) -> bool {
        same(self, other)
    }

    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, TypeError> {
        let first = operands.first().ok_or(TypeError::Arity { expected: 1, found: 0 })?;
        first.require(self.dim < first.shape.rank(), || format!("there is no dim {} to join along", self.dim))?;
        let resized = |size: usize| {
            let mut dims = first.shape.to_vec();
            dims[self.dim] = size;
            first.with_shape(dims)
        };
        let mut total = 0;
        for operand in operands {
            let size = operand.shape.get(self.dim).copied().unwrap_or(0);
            if operand.with_dtype(first.dtype) != resized(size) {
                return Err(TypeError::Shapes(first.clone(), operand.clone()));
            }
            operand.require_same(&resized(size))?;
            total += size;
        }
        Ok(vec![resized(total)])
    }

    fn lower(&self, operands: &[Value], results: &[TensorType], block: &mut Block) -> Vec<Value> {
        let operands: Vec<&Value> = operands.iter().collect();
        vec![block.call("stablehlo.concatenate", &operands, &format!(", dim = {}", self.dim), &results[0])]
    }

    fn vjp<'t>(&self, x: &[Tensor<'t>], _: &[Tensor<'t>], y_bar: &[Option<Tensor<'t>>]) -> Vec<Option<Tensor<'t>>> {
        let Some(y_bar) = y_bar[0] else { return vec![None; x.len()] };
        let sizes: Vec<usize> = x.iter().map(|x| x.shape()[self.dim]).collect();
        y_bar.split(self.dim as isize, &sizes).into_iter().map(Some).collect()
    }

    fn jvp<'t>(&self, x: &[Tensor<'t>], _: &[Tensor<'t>], x_dot: &[Option<Tensor<'t>>]) -> Vec<Option<Tensor<'t>>> {
        if x_dot.iter().all(Option::is_none) {
            return vec![None];
        }
        let dots: Vec<Tensor<'t>> = x.iter().zip(x_dot).map(|(x, dot)| dot.unwrap_or_else(|| x.zeros_like())).collect();
        x[0].trace().record(Arc::new(self.clone()), &dots).into_iter().map(Some).collect()
    }

    fn eval(&self, operands: &[ArrayD<f64>], _: &[TensorType]) -> Vec<ArrayD<f64>> {
        let views: Vec<_> = operands.iter().map(|operand| operand.view()).collect();
        vec![concatenate(Axis(self.dim), &views).expect("the type rule has checked the shapes")]
    }

    fn cost(&self, operands: &[TensorType], results: &[TensorType]) -> Cost {
        Cost::moving(operands.iter().chain(results))
    }

    fn samples() -> Vec<Sample> {
        let operands = |shapes: &[[usize; 2]]| {
            shapes.iter().enumerate().map(|(i, shape)| sample::spread(shape, i, &(-1.0..1.0))).collect()
        };
        vec![
            Sample::of_op(Concatenate { dim: 1 }, operands(&[[2, 1], [2, 3], [2, 2]])),
            Sample::of_op(Concatenate { dim: 0 }, operands(&[[2, 3]])),
        ]
    }
}
