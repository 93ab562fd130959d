//! Products of tensors.

use ndarray::{Array3, ArrayD, IxDyn};
use twinflow_array::{DType, Shape, TensorType};

use super::prelude::*;

/// Which dims of the operands pair up. The result's dims are: batch, the left's free dims, the right's free dims.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DotDims {
    /// Dims of the left operand that are summed over.
    pub lhs_contract: Vec<usize>,
    /// Dims of the right operand that are summed over, in the same order.
    pub rhs_contract: Vec<usize>,
    /// Dims of the left operand that run along.
    pub lhs_batch: Vec<usize>,
    /// Dims of the right operand that run along, in the same order.
    pub rhs_batch: Vec<usize>,
}

/// `y[b, m, n] = sum_k a[b, m, k] b[b, k, n]`, for any choice of dims.
#[derive(Clone, Debug, PartialEq)]
pub struct DotGeneral {
    pub dims: DotDims,
    /// Multiply in this type and sum in the operands' (bf16 runs at twice the rate of f32); `None`: the operands' type.
    pub compute: Option<DType>,
}

/// One operand's side of the pairing.
#[derive(Clone, Copy)]
struct Pairing<'a> {
    rank: usize,
    contract: &'a [usize],
    batch: &'a [usize],
}

impl Pairing<'_> {
    fn free(&self) -> Vec<usize> {
        free(self.rank, self.contract, self.batch)
    }
}

/// The dims that are in neither list, ascending.
fn free(rank: usize, contract: &[usize], batch: &[usize]) -> Vec<usize> {
    (0..rank).filter(|dim| !contract.contains(dim) && !batch.contains(dim)).collect()
}

/// `keys` in the order that sorts `by`.
fn sorted_by(keys: &[usize], by: &[usize]) -> Vec<usize> {
    let mut pairs: Vec<(usize, usize)> = by.iter().copied().zip(keys.iter().copied()).collect();
    pairs.sort_unstable();
    pairs.into_iter().map(|(_, key)| key).collect()
}

/// The array as [batch, rows, columns], each a product of dims.
fn matrices(x: &ArrayD<f64>, batch: &[usize], rows: &[usize], columns: &[usize]) -> Array3<f64> {
    let size = |dims: &[usize]| dims.iter().map(|&dim| x.shape()[dim]).product::<usize>();
    let shape = (size(batch), size(rows), size(columns));
    let ordered = x.view().permuted_axes([batch, rows, columns].concat());
    ordered.to_shape(shape).expect("the sizes multiply to the whole").into_owned()
}

/// `stablehlo.dot_general` of operands in the type that they are multiplied in.
fn product(dims: &DotDims, a: &Value, b: &Value, ty: &TensorType, block: &mut Block) -> Value {
    let batch = match dims.lhs_batch.is_empty() {
        true => String::new(),
        false => format!(" batching_dims = {:?} x {:?},", dims.lhs_batch, dims.rhs_batch),
    };
    let contract = format!(" contracting_dims = {:?} x {:?}", dims.lhs_contract, dims.rhs_contract);
    block.call("stablehlo.dot_general", &[a, b], &format!(",{batch}{contract}"), ty)
}

/// [`product`] over the rows of both operands, parted into two dims, which XLA:CPU multiplies in bf16: it has no such
/// product that reads its left operand transposed, so over one dim it would multiply in f32 at half the rate; over two it
/// transposes first.
fn product_over_rows(dims: &DotDims, a: &Value, b: &Value, ty: &TensorType, block: &mut Block) -> Value {
    let (left, right) = (dims.lhs_contract[0], dims.rhs_contract[0]);
    let Some(factor) = factor(a.ty.shape[left]) else { return product(dims, a, b, ty, block) };
    let (a, b) = (parted(a, left, factor, block), parted(b, right, factor, block));
    let lhs_contract = vec![left, left + 1];
    let rhs_contract = vec![right, right + 1];
    product(&DotDims { lhs_contract, rhs_contract, ..dims.clone() }, &a, &b, ty, block)
}

/// The transpose of a matrix, by way of three dims, `dim` parted by `factor`: XLA turns a plain one back into a product
/// with the operands swapped, and has no bf16 kernel for some of these.
fn transpose_copied(x: &Value, (dim, factor): (usize, usize), block: &mut Block) -> Value {
    let parts = parted(x, dim, factor, block);
    let order = if dim == 0 { [2, 0, 1] } else { [1, 2, 0] };
    let ty = x.ty.with_shape(order.map(|dim| parts.ty.shape[dim]));
    let copied = block.call("stablehlo.transpose", &[&parts], &format!(", dims = {order:?}"), &ty);
    block.call("stablehlo.reshape", &[&copied], "", &x.ty.with_shape([x.ty.shape[1], x.ty.shape[0]]))
}

/// The value with one dim parted in two, of which the first has size `factor`.
fn parted(x: &Value, dim: usize, factor: usize, block: &mut Block) -> Value {
    let mut shape = x.ty.shape.to_vec();
    shape.splice(dim..=dim, [factor, shape[dim] / factor]);
    block.call("stablehlo.reshape", &[x], "", &x.ty.with_shape(shape))
}

/// The largest factor up to the root; none for a prime.
fn factor(size: usize) -> Option<usize> {
    (2..=size.isqrt()).rev().find(|&factor| size.is_multiple_of(factor))
}

impl DotGeneral {
    /// Over the rows of both operands, as the gradients of weights are.
    fn sums_rows(&self, a: &TensorType, b: &TensorType) -> bool {
        let DotDims { lhs_contract, rhs_contract, lhs_batch, rhs_batch } = &self.dims;
        let rows = |ty: &TensorType, contract: &[usize], batch: &[usize]| {
            contract == [batch.len()] && batch.iter().copied().eq(0..batch.len()) && ty.shape.rank() == batch.len() + 2
        };
        rows(a, lhs_contract, lhs_batch) && rows(b, rhs_contract, rhs_batch)
    }

    /// [`product_over_rows`], with the smaller operand as the one that is transposed, and if need be the result.
    fn lower_over_rows(&self, a: &Value, b: &Value, ty: &TensorType, block: &mut Block) -> Value {
        let swapped = ty.with_shape(ty.shape.iter().rev().copied().collect::<Vec<_>>());
        let parting = swapped.shape.iter().enumerate().find_map(|(dim, &size)| Some((dim, factor(size)?)));
        match parting {
            Some(parting) if self.dims.lhs_batch.is_empty() && a.ty.shape.elements() > b.ty.shape.elements() => {
                let y = product_over_rows(&self.dims, b, a, &swapped, block);
                transpose_copied(&y, parting, block)
            }
            _ => product_over_rows(&self.dims, a, b, ty, block),
        }
    }

    /// A product of the same kind, whatever policy is in effect where a derivative is taken.
    fn apply<'t>(&self, a: Tensor<'t>, b: Tensor<'t>, dims: DotDims) -> Tensor<'t> {
        a.apply(DotGeneral { dims, compute: self.compute }, [a, b])
    }

    /// The cotangent of one operand (`mine`): contract `y_bar` with the other operand over the other's free dims, then
    /// put the dims in place. Of the two orders of that product the one is taken that leaves the dims in place, if one
    /// does: XLA would copy large operands to transpose the result.
    fn operand_cotangent<'t>(
        &self,
        y_bar: Tensor<'t>,
        other: Tensor<'t>,
        mine: Pairing<'_>,
        others: Pairing<'_>,
        mine_is_left: bool,
    ) -> Tensor<'t> {
        let (batch, mine_free, other_free) = (mine.batch.len(), mine.free(), others.free());
        let first = if mine_is_left { batch + mine_free.len() } else { batch };
        let of_y: Vec<usize> = (first..first + other_free.len()).collect();
        let leading: Vec<usize> = (0..batch).collect();
        // What is left of the other operand: my contracted dims in the other's ascending order.
        let contracted = sorted_by(mine.contract, others.contract);
        let other_first = [mine.batch.to_vec(), contracted.clone(), mine_free.clone()].concat();
        if other_first.is_sorted() {
            let dims = DotDims {
                lhs_contract: other_free,
                rhs_contract: of_y,
                lhs_batch: others.batch.to_vec(),
                rhs_batch: leading,
            };
            return self.apply(other, y_bar, dims);
        }
        let dims = DotDims {
            lhs_contract: of_y,
            rhs_contract: other_free,
            lhs_batch: leading,
            rhs_batch: others.batch.to_vec(),
        };
        let product = self.apply(y_bar, other, dims);
        let order = [mine.batch.to_vec(), mine_free, contracted].concat();
        let mut permutation = vec![0; mine.rank];
        order.iter().enumerate().for_each(|(position, &dim)| permutation[dim] = position);
        product.transpose(&permutation)
    }
}

impl Primitive<2> for DotGeneral {
    const NAME: &'static str = "dot_general";
    const PROPERTIES: Properties = Properties::SAVE;

    fn infer(&self, [a, b]: [&TensorType; 2]) -> Result<TensorType, TypeError> {
        let DotDims { lhs_contract, rhs_contract, lhs_batch, rhs_batch } = &self.dims;
        if a.dtype != b.dtype {
            return Err(TypeError::DTypes(a.clone(), b.clone()));
        }
        let in_range = |ty: &TensorType, dims: &[usize]| dims.iter().all(|&dim| dim < ty.shape.rank());
        let known =
            in_range(a, lhs_contract) && in_range(a, lhs_batch) && in_range(b, rhs_contract) && in_range(b, rhs_batch);
        a.require(known, || format!("dims {:?} are out of range", self.dims))?;
        let pairs = |left: &[usize], right: &[usize]| {
            left.len() == right.len() && left.iter().zip(right).all(|(&l, &r)| a.shape[l] == b.shape[r])
        };
        let fits = pairs(lhs_contract, rhs_contract) && pairs(lhs_batch, rhs_batch);
        a.require(fits, || format!("dims {lhs_contract:?} and batch {lhs_batch:?} do not pair with dims {rhs_contract:?} and batch {rhs_batch:?} of {b}"))?;
        let batch = lhs_batch.iter().map(|&dim| a.shape[dim]);
        let left = free(a.shape.rank(), lhs_contract, lhs_batch).into_iter().map(|dim| a.shape[dim]);
        let right = free(b.shape.rank(), rhs_contract, rhs_batch).into_iter().map(|dim| b.shape[dim]);
        Ok(a.with_shape(batch.chain(left).chain(right).collect::<Shape>()))
    }

    fn lower(&self, [a, b]: [Value; 2], ty: &TensorType, block: &mut Block) -> Value {
        block.product([a, b], self.compute, ty, |[a, b], ty, block| {
            match a.ty.dtype == DType::BF16 && self.sums_rows(&a.ty, &b.ty) {
                true => self.lower_over_rows(&a, &b, ty, block),
                false => product(&self.dims, &a, &b, ty, block),
            }
        })
    }

    fn vjp<'t>(&self, [a, b]: [Tensor<'t>; 2], _: Tensor<'t>, y_bar: Tensor<'t>) -> [Option<Tensor<'t>>; 2] {
        let DotDims { lhs_contract, rhs_contract, lhs_batch, rhs_batch } = &self.dims;
        let left = Pairing { rank: a.rank(), contract: lhs_contract, batch: lhs_batch };
        let right = Pairing { rank: b.rank(), contract: rhs_contract, batch: rhs_batch };
        let a_bar = self.operand_cotangent(y_bar, b, left, right, true);
        let b_bar = self.operand_cotangent(y_bar, a, right, left, false);
        [Some(a_bar), Some(b_bar)]
    }

    fn jvp<'t>(
        &self,
        [a, b]: [Tensor<'t>; 2],
        _: Tensor<'t>,
        [a_dot, b_dot]: [Option<Tensor<'t>>; 2],
    ) -> Option<Tensor<'t>> {
        let product = |a, b| self.apply(a, b, self.dims.clone());
        add_some([a_dot.map(|a_dot| product(a_dot, b)), b_dot.map(|b_dot| product(a, b_dot))])
    }

    fn eval(&self, [a, b]: [&ArrayD<f64>; 2], ty: &TensorType) -> ArrayD<f64> {
        let DotDims { lhs_contract, rhs_contract, lhs_batch, rhs_batch } = &self.dims;
        let a = matrices(a, lhs_batch, &free(a.ndim(), lhs_contract, lhs_batch), lhs_contract);
        let b = matrices(b, rhs_batch, rhs_contract, &free(b.ndim(), rhs_contract, rhs_batch));
        let products = a.outer_iter().zip(b.outer_iter()).flat_map(|(a, b)| a.dot(&b));
        ArrayD::from_shape_vec(IxDyn(&ty.shape), products.collect()).expect("the products fill the result")
    }

    /// Conversions to the type of the multiplication count as part of it.
    fn cost(&self, [a, b]: [&TensorType; 2], y: &TensorType) -> Cost {
        let summed: usize = self.dims.lhs_contract.iter().map(|&dim| a.shape[dim]).product();
        Cost::moving([a, b, y]).with_products(y.shape.elements() * summed)
    }

    fn samples() -> Vec<Sample> {
        let dot = |lhs_contract: &[usize], rhs_contract: &[usize], lhs_batch: &[usize], rhs_batch: &[usize]| {
            let [lhs_contract, rhs_contract] = [lhs_contract.to_vec(), rhs_contract.to_vec()];
            let [lhs_batch, rhs_batch] = [lhs_batch.to_vec(), rhs_batch.to_vec()];
            DotGeneral { dims: DotDims { lhs_contract, rhs_contract, lhs_batch, rhs_batch }, compute: None }
        };
        vec![
            Sample::uniform(dot(&[1], &[0], &[], &[]), [&[2, 3], &[3, 4]], -1.0..1.0),
            Sample::uniform(dot(&[2], &[1], &[0], &[2]), [&[2, 3, 4], &[5, 4, 2]], -1.0..1.0),
            Sample::uniform(dot(&[0, 2], &[2, 0], &[], &[]), [&[2, 3, 4], &[4, 5, 2]], -1.0..1.0),
            Sample::uniform(dot(&[1], &[0], &[], &[]), [&[2, 3], &[3]], -1.0..1.0),
        ]
    }
}
