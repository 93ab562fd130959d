//! Lookup by indices, and its adjoint, the sum into places given by indices.

use ndarray::{ArrayD, Dimension, IxDyn};
use twinflow_array::{DType, HostArray, Shape, TensorType};

use super::prelude::*;
use crate::stablehlo::signature;

/// Which elements of a tensor the indices name. Indices out of range mean the nearest one in range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexing {
    /// `x[indices[i..], j..]` at `[i.., j..]`: whole rows, indices of any shape.
    Rows,
    /// `x[.., indices[i..], ..]` at `i..`: one element for each index; indices are shaped like x but for this dim.
    Along(usize),
}

impl Indexing {
    /// The dim that the indices run over.
    fn dim(self) -> usize {
        match self {
            Indexing::Rows => 0,
            Indexing::Along(dim) => dim,
        }
    }

    /// The type of the elements of `x` that the indices name.
    fn selected(self, x: &TensorType, indices: &TensorType) -> Result<TensorType, TypeError> {
        let integer = matches!(indices.dtype, DType::I32 | DType::U32);
        indices.require(integer, || "indices must be i32 or u32".to_owned())?;
        let dim = self.dim();
        let some = x.shape.get(dim).is_some_and(|&size| size > 0);
        x.require(some, || format!("there is nothing to look up along dim {dim}"))?;
        match self {
            Indexing::Rows => Ok(x.with_shape(indices.shape.iter().chain(&x.shape[1..]).copied().collect::<Shape>())),
            Indexing::Along(_) => {
                let same = |other: usize| other == dim || indices.shape[other] == x.shape[other];
                let fits = indices.shape.rank() == x.shape.rank() && (0..x.shape.rank()).all(same);
                x.require(fits, || format!("indices {indices} must have the same dims but for dim {dim}"))?;
                Ok(x.with_shape(indices.shape.clone()))
            }
        }
    }

    /// The place in an array of `shape` that belongs to the place `at` of the selected elements.
    fn place(self, at: &[usize], indices: &ArrayD<f64>, shape: &[usize]) -> IxDyn {
        let clamp = |index: f64| index.clamp(0.0, shape[self.dim()] as f64 - 1.0) as usize;
        match self {
            Indexing::Rows => {
                let (index, rest) = at.split_at(indices.ndim());
                IxDyn(&[&[clamp(indices[IxDyn(index)])], rest].concat())
            }
            Indexing::Along(dim) => {
                let mut place = at.to_vec();
                place[dim] = clamp(indices[IxDyn(at)]);
                IxDyn(&place)
            }
        }
    }

    /// The indices in range. XLA's scatter drops what is out of range, its gather clamps, and both may take a large u32
    /// for a negative number: so that they are adjoint, both get clamped ones.
    fn clamp(self, x: &TensorType, indices: &Value, block: &mut Block) -> Value {
        let scalar = indices.ty.with_shape([]);
        let low = block.splat(&scalar, 0.0);
        let high = block.splat(&scalar, x.shape[self.dim()] as f64 - 1.0);
        block.call("stablehlo.clamp", &[&low, indices, &high], "", &indices.ty)
    }

    /// StableHLO's dimension numbers under gather's or scatter's names for, in this order: the result's dims that are
    /// copied whole, x's dim that is looked up, the dims of x and of the indices that go together, the dim indexed.
    fn dimension_numbers(self, names: [&str; 5], x: &TensorType, indices: &TensorType) -> String {
        let (rank, vector) = (x.shape.rank(), indices.shape.rank());
        let (window, batching): (Vec<usize>, Vec<usize>) = match self {
            Indexing::Rows => ((vector..vector + rank - 1).collect(), Vec::new()),
            Indexing::Along(dim) => (Vec::new(), (0..rank).filter(|&other| other != dim).collect()),
        };
        let lists = [window, vec![self.dim()], batching.clone(), batching, vec![self.dim()]];
        let fields: Vec<String> = names
            .iter()
            .zip(lists)
            .filter(|(_, list)| !list.is_empty())
            .map(|(name, list)| format!("{name} = {list:?}"))
            .collect();
        format!("{}, index_vector_dim = {vector}", fields.join(", "))
    }
}

/// `y = x` at the places that the indices name; the adjoint adds there.
#[derive(Clone, Debug, PartialEq)]
pub struct Gather {
    /// Which places.
    pub indexing: Indexing,
}

impl Primitive<2> for Gather {
    const NAME: &'static str = "gather";
    const PROPERTIES: Properties = Properties::SAVE;

    fn infer(&self, [x, indices]: [&TensorType; 2]) -> Result<TensorType, TypeError> {
        self.indexing.selected(x, indices)
    }

    fn lower(&self, [x, indices]: [Value; 2], ty: &TensorType, block: &mut Block) -> Value {
        const NAMES: [&str; 5] = [
            "offset_dims",
            "collapsed_slice_dims",
            "operand_batching_dims",
            "start_indices_batching_dims",
            "start_index_map",
        ];
        let numbers = self.indexing.dimension_numbers(NAMES, &x.ty, &indices.ty);
        let indices = self.indexing.clamp(&x.ty, &indices, block);
        let size = |(dim, size): (usize, &usize)| match self.indexing {
            Indexing::Rows if dim > 0 => size.to_string(),
            _ => "1".to_owned(),
        };
        let sizes: Vec<String> = x.ty.shape.iter().enumerate().map(size).collect();
        let text = format!(
            "\"stablehlo.gather\"({}, {}) <{{dimension_numbers = #stablehlo.gather<{numbers}>, \
             indices_are_sorted = false, slice_sizes = array<i64: {}>}}> : {}",
            x.name,
            indices.name,
            sizes.join(", "),
            signature(&[&x, &indices], std::slice::from_ref(ty)),
        );
        block.emit(&text, ty)
    }

    fn vjp<'t>(&self, [x, indices]: [Tensor<'t>; 2], _: Tensor<'t>, y_bar: Tensor<'t>) -> [Option<Tensor<'t>>; 2] {
        let add = ScatterAdd { indexing: self.indexing };
        [Some(x.apply(add, [x.zeros_like(), indices, y_bar])), None]
    }

    fn jvp<'t>(&self, x: [Tensor<'t>; 2], _: Tensor<'t>, x_dot: [Option<Tensor<'t>>; 2]) -> Option<Tensor<'t>> {
        Some(x[0].apply(self.clone(), [x_dot[0]?, x[1]]))
    }

    fn eval(&self, [x, indices]: [&ArrayD<f64>; 2], ty: &TensorType) -> ArrayD<f64> {
        ArrayD::from_shape_fn(IxDyn(&ty.shape), |at| x[self.indexing.place(at.slice(), indices, x.shape())])
    }

    fn cost(&self, [_, indices]: [&TensorType; 2], y: &TensorType) -> Cost {
        Cost::moving([y, indices, y])
    }

    fn samples() -> Vec<Sample> {
        places()
            .into_iter()
            .map(|(indexing, indices)| {
                Sample::of(Gather { indexing }, [sample::spread(&[4, 3], 0, &(-1.0..1.0)), indices])
            })
            .collect()
    }
}

/// `y = x`, and `updates` added at the places that the indices name, several at one place too. Operands: x, indices,
/// updates. The adjoint reads there.
#[derive(Clone, Debug, PartialEq)]
pub struct ScatterAdd {
    /// Which places.
    pub indexing: Indexing,
}

impl Primitive<3> for ScatterAdd {
    const NAME: &'static str = "scatter_add";
    const PROPERTIES: Properties = Properties::SAVE;

    fn infer(&self, [x, indices, updates]: [&TensorType; 3]) -> Result<TensorType, TypeError> {
        updates.require_same(&self.indexing.selected(x, indices)?)?;
        Ok(x.clone())
    }

    fn lower(&self, [x, indices, updates]: [Value; 3], ty: &TensorType, block: &mut Block) -> Value {
        const NAMES: [&str; 5] = [
            "update_window_dims",
            "inserted_window_dims",
            "input_batching_dims",
            "scatter_indices_batching_dims",
            "scatter_dims_to_operand_dims",
        ];
        let numbers = self.indexing.dimension_numbers(NAMES, &x.ty, &indices.ty);
        let indices = self.indexing.clamp(ty, &indices, block);
        let attributes = format!(
            "scatter_dimension_numbers = #stablehlo.scatter<{numbers}>, indices_are_sorted = false, \
             unique_indices = false"
        );
        block.with_sum("stablehlo.scatter", &[&x, &indices, &updates], &attributes, ty)
    }

    fn vjp<'t>(&self, x: [Tensor<'t>; 3], _: Tensor<'t>, y_bar: Tensor<'t>) -> [Option<Tensor<'t>>; 3] {
        let gather = Gather { indexing: self.indexing };
        [Some(y_bar), None, Some(y_bar.apply(gather, [y_bar, x[1]]))]
    }

    fn jvp<'t>(&self, x: [Tensor<'t>; 3], _: Tensor<'t>, x_dot: [Option<Tensor<'t>>; 3]) -> Option<Tensor<'t>> {
        let Some(updates) = x_dot[2] else { return x_dot[0] };
        let base = x_dot[0].unwrap_or_else(|| x[0].zeros_like());
        Some(base.apply(self.clone(), [base, x[1], updates]))
    }

    fn eval(&self, [x, indices, updates]: [&ArrayD<f64>; 3], _: &TensorType) -> ArrayD<f64> {
        let mut y = x.clone();
        for (at, value) in updates.indexed_iter() {
            y[self.indexing.place(at.slice(), indices, x.shape())] += value;
        }
        y
    }

    /// In place.
    fn cost(&self, [_, indices, updates]: [&TensorType; 3], _: &TensorType) -> Cost {
        Cost::moving([updates, updates, indices, updates]).with_flops(updates.shape.elements())
    }

    fn samples() -> Vec<Sample> {
        let sample = |(indexing, indices): (Indexing, HostArray)| {
            let x = sample::spread(&[4, 3], 0, &(-1.0..1.0));
            let selected = indexing.selected(x.ty(), indices.ty()).expect("the sample's types agree");
            let updates = sample::spread(&selected.shape, 1, &(-1.0..1.0));
            Sample::of(ScatterAdd { indexing }, [x, indices, updates])
        };
        places().into_iter().map(sample).collect()
    }
}

/// Indices into an array of shape `[4, 3]`, with repetitions and some out of range.
fn places() -> Vec<(Indexing, HostArray)> {
    use sample::integers;
    vec![
        (Indexing::Rows, integers(DType::I32, &[5], &[2, 0, 2, -1, 9])),
        (Indexing::Rows, integers(DType::U32, &[2, 2], &[3, 1, 1, 4_000_000_000])),
        (Indexing::Rows, integers(DType::I32, &[], &[1])),
        (Indexing::Along(0), integers(DType::I32, &[2, 3], &[0, 3, 3, 0, -5, 7])),
        (Indexing::Along(1), integers(DType::U32, &[4, 2], &[0, 0, 2, 1, 1, 2, 4_000_000_000, 0])),
    ]
}
