//! Blocks whose place is known only when the program runs.

use ndarray::{ArrayD, IxDyn};
use twinflow_array::{DType, Shape, TensorType};

use super::prelude::*;

/// Checks that there is one scalar i32 or u32 start for each dim of `x`, all of one element type.
fn require_starts(x: &TensorType, starts: &[TensorType]) -> Result<(), TypeError> {
    x.require(starts.len() == x.shape.rank(), || format!("{} starts, one for each dim is needed", starts.len()))?;
    starts.iter().try_for_each(|start| {
        let fits = matches!(start.dtype, DType::I32 | DType::U32) && start.shape.rank() == 0;
        start.require(fits, || "a start must be a scalar i32 or u32".to_owned())?;
        start.require_same(&starts[0]).map(|_| ())
    })
}

/// The starts for XLA, which moves blocks inside but takes a large u32 for a negative number.
fn lower_starts(starts: &[Value], shape: &[usize], sizes: &[usize], block: &mut Block) -> Vec<Value> {
    let lower = |(dim, start): (usize, &Value)| {
        if start.ty.dtype != DType::U32 {
            return start.clone();
        }
        let last = block.splat(&start.ty, (shape[dim] - sizes[dim]) as f64);
        block.binary("stablehlo.minimum", start, &last, &start.ty)
    };
    starts.iter().enumerate().map(lower).collect()
}

/// The starts as XLA uses them: moved so that the block lies inside.
fn clamped(starts: &[ArrayD<f64>], shape: &[usize], sizes: &[usize]) -> Vec<usize> {
    let inside = |dim: usize| starts[dim].sum().clamp(0.0, (shape[dim] - sizes[dim]) as f64) as usize;
    (0..shape.len()).map(inside).collect()
}

/// `y[i] = x[starts + i]`, the block of `sizes` at the starts, which are moved so that it lies inside. Operands: x,
/// then one scalar for each dim. The adjoint writes the block into zeros.
#[derive(Clone, Debug, PartialEq)]
pub struct DynamicSlice {
    pub sizes: Shape,
}

impl Op for DynamicSlice {
    fn name(&self) -> &'static str {
        "dynamic_slice"
    }

    fn attributes(&self) -> String {
        format!("{{ sizes: {} }}", self.sizes)
    }

    fn properties(&self) -> Properties {
        Properties::SAVE
    }

    fn equals(&self, other: &dyn Op) -> bool {
        same(self, other)
    }

    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, TypeError> {
        let (x, starts) = operands.split_first().ok_or(TypeError::Arity { expected: 1, found: 0 })?;
        require_starts(x, starts)?;
        let fits =
            self.sizes.rank() == x.shape.rank() && self.sizes.iter().zip(x.shape.iter()).all(|(size, all)| size <= all);
        x.require(fits, || format!("cannot take a block of {}", self.sizes))?;
        Ok(vec![x.with_shape(self.sizes.clone())])
    }

    fn lower(&self, operands: &[Value], results: &[TensorType], block: &mut Block) -> Vec<Value> {
        let (x, starts) = operands.split_at(1);
        let starts = lower_starts(starts, &x[0].ty.shape, &self.sizes, block);
        let operands: Vec<&Value> = x.iter().chain(&starts).collect();
        vec![block.call("stablehlo.dynamic_slice", &operands, &format!(", sizes = {}", self.sizes), &results[0])]
    }

    fn vjp<'t>(&self, x: &[Tensor<'t>], _: &[Tensor<'t>], y_bar: &[Option<Tensor<'t>>]) -> Vec<Option<Tensor<'t>>> {
        let mut bars = vec![None; x.len()];
        bars[0] = y_bar[0].map(|y_bar| x[0].zeros_like().dynamic_update_slice(y_bar, &x[1..]));
        bars
    }

    fn jvp<'t>(&self, x: &[Tensor<'t>], _: &[Tensor<'t>], x_dot: &[Option<Tensor<'t>>]) -> Vec<Option<Tensor<'t>>> {
        vec![x_dot[0].map(|dot| dot.dynamic_slice(&x[1..], &self.sizes))]
    }

    fn eval(&self, operands: &[ArrayD<f64>], _: &[TensorType]) -> Vec<ArrayD<f64>> {
        let starts = clamped(&operands[1..], operands[0].shape(), &self.sizes);
        let y = ArrayD::from_shape_fn(IxDyn(&self.sizes), |index| {
            let at: Vec<usize> = starts.iter().enumerate().map(|(dim, start)| start + index[dim]).collect();
            operands[0][IxDyn(&at)]
        });
        vec![y]
    }

    fn cost(&self, _: &[TensorType], results: &[TensorType]) -> Cost {
        Cost::moving([&results[0], &results[0]])
    }

    fn samples() -> Vec<Sample> {
        let sample = |dtype: DType, starts: [i64; 2]| {
            let x = sample::spread(&[4, 5], 0, &(-1.0..1.0));
            let [row, column] = starts.map(|start| sample::integers(dtype, &[], &[start]));
            Sample::of_op(DynamicSlice { sizes: [2, 3].into() }, vec![x, row, column])
        };
        vec![sample(DType::I32, [1, 2]), sample(DType::I32, [-1, 9]), sample(DType::U32, [2, 4_000_000_000])]
    }
}

/// `y` is `x` with the block at the starts, moved so that it lies inside, replaced. Operands: x, the block, then one
/// scalar for each dim. The adjoint reads the block out.
#[derive(Clone, Debug, PartialEq)]
pub struct DynamicUpdateSlice;

impl Op for DynamicUpdateSlice {
    fn name(&self) -> &'static str {
        "dynamic_update_slice"
    }

    fn properties(&self) -> Properties {
        Properties::SAVE
    }

    fn equals(&self, other: &dyn Op) -> bool {
        same(self, other)
    }

    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, TypeError> {
        let [x, update, starts @ ..] = operands else {
            return Err(TypeError::Arity { expected: 2, found: operands.len() });
        };
        require_starts(x, starts)?;
        x.require_same(&update.with_shape(x.shape.clone()))?;
        let inside = update.shape.iter().zip(x.shape.iter()).all(|(size, all)| size <= all);
        x.require(inside && update.shape.rank() == x.shape.rank(), || format!("a block {update} does not fit in"))?;
        Ok(vec![x.clone()])
    }

    fn lower(&self, operands: &[Value], results: &[TensorType], block: &mut Block) -> Vec<Value> {
        let (arrays, starts) = operands.split_at(2);
        let starts = lower_starts(starts, &arrays[0].ty.shape, &arrays[1].ty.shape, block);
        let operands: Vec<&Value> = arrays.iter().chain(&starts).collect();
        vec![block.call("stablehlo.dynamic_update_slice", &operands, "", &results[0])]
    }

    fn vjp<'t>(&self, x: &[Tensor<'t>], _: &[Tensor<'t>], y_bar: &[Option<Tensor<'t>>]) -> Vec<Option<Tensor<'t>>> {
        let mut bars = vec![None; x.len()];
        if let Some(y_bar) = y_bar[0] {
            bars[0] = Some(y_bar.dynamic_update_slice(x[1].zeros_like(), &x[2..]));
            bars[1] = Some(y_bar.dynamic_slice(&x[2..], &x[1].shape()));
        }
        bars
    }

    fn jvp<'t>(&self, x: &[Tensor<'t>], _: &[Tensor<'t>], x_dot: &[Option<Tensor<'t>>]) -> Vec<Option<Tensor<'t>>> {
        if x_dot.iter().all(Option::is_none) {
            return vec![None];
        }
        let [base, update] = [0, 1].map(|i| x_dot[i].unwrap_or_else(|| x[i].zeros_like()));
        vec![Some(base.dynamic_update_slice(update, &x[2..]))]
    }

    fn eval(&self, operands: &[ArrayD<f64>], _: &[TensorType]) -> Vec<ArrayD<f64>> {
        let [x, update, starts @ ..] = operands else { return Vec::new() };
        let starts = clamped(starts, x.shape(), update.shape());
        let mut y = x.clone();
        for (index, &value) in update.indexed_iter() {
            let at: Vec<usize> = starts.iter().enumerate().map(|(dim, start)| start + index[dim]).collect();
            y[IxDyn(&at)] = value;
        }
        vec![y]
    }

    /// In place.
    fn cost(&self, operands: &[TensorType], _: &[TensorType]) -> Cost {
        Cost::moving([&operands[1], &operands[1]])
    }

    fn samples() -> Vec<Sample> {
        let sample = |dtype: DType, starts: [i64; 2]| {
            let [x, update] = [&[4, 5], &[2, 3]].map(|shape| sample::spread(shape, shape[0], &(-1.0..1.0)));
            let [row, column] = starts.map(|start| sample::integers(dtype, &[], &[start]));
            Sample::of_op(DynamicUpdateSlice, vec![x, update, row, column])
        };
        vec![sample(DType::I32, [1, 2]), sample(DType::I32, [9, -1]), sample(DType::U32, [4_000_000_000, 1])]
    }
}
