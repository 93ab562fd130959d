//! Mathematics on tensors: methods and operators, each a few lines over the operations.

use std::ops::{Add, Div, Mul, Neg, Sub};

use twinflow_array::{DType, Shape, TensorType};

use crate::{
    ops::{
        compare::{Compare, Relation, Select},
        convert::Convert,
        dot_general::{DotDims, DotGeneral},
        elementwise as e,
        identity::{Alias, StopGradient},
        logic,
        reduce::{ReduceMax, ReduceMin, ReduceSum},
        shape::{BroadcastInDim, Reshape, Transpose},
    },
    primitive::{Primitive, fixed},
    trace::Tensor,
};

/// The second operand of an elementwise method: a tensor, or a number that takes the first one's element type.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'t> {
    /// A tensor.
    Tensor(Tensor<'t>),
    /// A number.
    Number(f64),
}

impl<'t> From<Tensor<'t>> for Operand<'t> {
    fn from(tensor: Tensor<'t>) -> Self {
        Operand::Tensor(tensor)
    }
}

impl From<f64> for Operand<'_> {
    fn from(number: f64) -> Self {
        Operand::Number(number)
    }
}

macro_rules! unary_methods {
    ($($(#[$doc:meta])* $method:ident => $op:expr;)*) => {
        // Methods read better than operators next to the comparisons, which have no operators.
        #[allow(clippy::should_implement_trait)]
        impl<'t> Tensor<'t> {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $method(self) -> Tensor<'t> {
                self.apply($op, [self])
            }
        )*}
    };
}

unary_methods! {
    /// `|x|`.
    abs => e::Abs;
    /// The next integer above.
    ceil => e::Ceil;
    /// Cosine of radians.
    cos => e::Cos;
    /// The error function.
    erf => e::Erf;
    /// `e^x`.
    exp => e::Exp;
    /// `e^x - 1`, exact near 0.
    exp_m1 => e::ExpM1;
    /// The next integer below.
    floor => e::Floor;
    /// Natural logarithm.
    log => e::Log;
    /// `ln(1 + x)`, exact near 0.
    log1p => e::Log1p;
    /// The nearest integer, halves to even.
    round => e::Round;
    /// `1/sqrt(x)`.
    rsqrt => e::Rsqrt;
    /// `1/(1 + e^-x)`.
    sigmoid => e::Sigmoid;
    /// -1, 0 or 1.
    sign => e::Sign;
    /// Sine of radians.
    sin => e::Sin;
    /// Square root.
    sqrt => e::Sqrt;
    /// Tangent of radians.
    tan => e::Tan;
    /// Hyperbolic tangent.
    tanh => e::Tanh;
    /// Negation of a truth value, or complement of bits.
    not => logic::Not;
    /// The same value with derivative zero.
    stop_gradient => StopGradient;
    /// The same value under a new name.
    alias => Alias;
}

macro_rules! binary_methods {
    ($($(#[$doc:meta])* $method:ident => $op:expr;)*) => {
        // As above.
        #[allow(clippy::should_implement_trait)]
        impl<'t> Tensor<'t> {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $method(self, other: impl Into<Operand<'t>>) -> Tensor<'t> {
                self.combine($op, other.into())
            }
        )*}
    };
}

binary_methods! {
    /// `a^b` element by element.
    pow => e::Pow;
    /// The larger of both.
    maximum => e::Max;
    /// The smaller of both.
    minimum => e::Min;
    /// The remainder of division, with the sign of the dividend.
    rem => e::Rem;
    /// `a == b`.
    eq => Compare { relation: Relation::Eq };
    /// `a != b`.
    ne => Compare { relation: Relation::Ne };
    /// `a < b`.
    lt => Compare { relation: Relation::Lt };
    /// `a <= b`.
    le => Compare { relation: Relation::Le };
    /// `a > b`.
    gt => Compare { relation: Relation::Gt };
    /// `a >= b`.
    ge => Compare { relation: Relation::Ge };
    /// Both truths, or both bits.
    and => logic::And;
    /// Either truth, or either bit.
    or => logic::Or;
    /// Exactly one truth, or one bit.
    xor => logic::Xor;
    /// Bits moved up.
    shift_left => logic::ShiftLeft;
    /// Bits moved down, zeros moved in.
    shift_right => logic::ShiftRight;
}

impl<'t> Tensor<'t> {
    /// Applies an operation of fixed arity.
    #[track_caller]
    pub(crate) fn apply<const N: usize>(self, op: impl Primitive<N>, operands: [Tensor<'t>; N]) -> Tensor<'t> {
        self.trace().record(fixed(op), &operands)[0]
    }

    /// Applies an elementwise operation after NumPy's broadcasting.
    #[track_caller]
    fn combine(self, op: impl Primitive<2>, other: Operand<'t>) -> Tensor<'t> {
        let other = self.operand(other);
        let [a, b] = self.broadcast_together(other);
        self.apply(op, [a, b])
    }

    #[track_caller]
    fn operand(self, operand: Operand<'t>) -> Tensor<'t> {
        match operand {
            Operand::Tensor(tensor) => tensor,
            Operand::Number(number) => self.trace().scalar(self.dtype(), number),
        }
    }

    /// Both tensors in their common shape; unchanged if there is none (the type rule then reports it).
    #[track_caller]
    fn broadcast_together(self, other: Tensor<'t>) -> [Tensor<'t>; 2] {
        match self.shape().broadcast(&other.shape()) {
            Some(shape) => [self.broadcast_to(shape.clone()), other.broadcast_to(shape)],
            None => [self, other],
        }
    }

    /// `on_true` where this bool tensor holds, else `on_false`.
    #[track_caller]
    pub fn select(self, on_true: impl Into<Operand<'t>>, on_false: impl Into<Operand<'t>>) -> Tensor<'t> {
        let (on_true, on_false) = match (on_true.into(), on_false.into()) {
            (Operand::Tensor(a), b) => (a, a.operand(b)),
            (a, Operand::Tensor(b)) => (b.operand(a), b),
            (a, b) => {
                let like = self.trace().scalar(DType::F32, 0.0);
                (like.operand(a), like.operand(b))
            }
        };
        let [on_true, on_false] = on_true.broadcast_together(on_false);
        let [condition, on_true] = self.broadcast_together(on_true);
        let on_false = on_false.broadcast_to(on_true.shape());
        self.apply(Select, [condition, on_true, on_false])
    }

    /// `x^p` for a number p.
    #[track_caller]
    pub fn powf(self, exponent: f64) -> Tensor<'t> {
        self.pow(exponent)
    }

    /// `x x`.
    #[track_caller]
    pub fn square(self) -> Tensor<'t> {
        self * self
    }

    /// `1/x`.
    #[track_caller]
    pub fn recip(self) -> Tensor<'t> {
        1.0 / self
    }

    /// `max(x, 0)`.
    #[track_caller]
    pub fn relu(self) -> Tensor<'t> {
        self.maximum(0.0)
    }

    /// `x sigmoid(x)`.
    #[track_caller]
    pub fn silu(self) -> Tensor<'t> {
        self * self.sigmoid()
    }

    /// `x Phi(x)` with the exact normal distribution function (Hendrycks & Gimpel 2016).
    #[track_caller]
    pub fn gelu(self) -> Tensor<'t> {
        self * 0.5 * ((self * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0)
    }

    /// GELU by tanh: `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`.
    #[track_caller]
    pub fn gelu_tanh(self) -> Tensor<'t> {
        let inner = (self + self * self * self * 0.044715) * (2.0 / std::f64::consts::PI).sqrt();
        self * 0.5 * (inner.tanh() + 1.0)
    }

    /// `ln(1 + e^x)`, without overflow.
    #[track_caller]
    pub fn softplus(self) -> Tensor<'t> {
        self.maximum(0.0) + (-self.abs()).exp().log1p()
    }

    /// `min(max(x, low), high)`.
    #[track_caller]
    pub fn clamp(self, low: f64, high: f64) -> Tensor<'t> {
        self.apply(e::Clamp { low, high }, [self])
    }

    /// The values in another element type.
    #[track_caller]
    pub fn convert(self, dtype: DType) -> Tensor<'t> {
        if self.dtype() == dtype { self } else { self.apply(Convert { dtype }, [self]) }
    }

    /// A tensor of the same type filled with one value.
    #[track_caller]
    pub fn full_like(self, value: f64) -> Tensor<'t> {
        self.trace().full(self.ty(), value)
    }

    /// A tensor of the same type filled with zeros.
    #[track_caller]
    pub fn zeros_like(self) -> Tensor<'t> {
        self.full_like(0.0)
    }

    /// The size of a dim; negative dims count from the end.
    #[track_caller]
    pub fn dim(self, dim: isize) -> usize {
        self.shape()[self.dim_index(dim)]
    }

    /// A dim as an index; negative dims count from the end.
    #[track_caller]
    pub(crate) fn dim_index(self, dim: isize) -> usize {
        let rank = self.rank() as isize;
        let index = if dim < 0 { dim + rank } else { dim };
        if (0..rank).contains(&index) {
            return index as usize;
        }
        self.trace().fail("dim", format!("dim {dim} is out of range for {}", self.ty()))
    }

    /// Several dims as ascending indices.
    #[track_caller]
    fn dim_indices(self, dims: &[isize]) -> Vec<usize> {
        let mut indices: Vec<usize> = dims.iter().map(|&dim| self.dim_index(dim)).collect();
        indices.sort_unstable();
        indices.dedup();
        indices
    }

    /// The same elements in another shape.
    #[track_caller]
    pub fn reshape(self, shape: impl Into<Shape>) -> Tensor<'t> {
        let shape = shape.into();
        if self.shape() == shape { self } else { self.apply(Reshape { shape }, [self]) }
    }

    /// Repeated to `shape` by NumPy's rule: trailing dims aligned, size 1 repeats.
    #[track_caller]
    pub fn broadcast_to(self, shape: impl Into<Shape>) -> Tensor<'t> {
        let shape = shape.into();
        let rank = self.rank();
        if rank > shape.rank() {
            self.trace().fail("broadcast_to", format!("{} has more dims than {shape}", self.ty()));
        }
        let dims: Vec<usize> = (shape.rank() - rank..shape.rank()).collect();
        self.broadcast_in_dim(shape, &dims)
    }

    /// Repeated to `shape`, operand dim k becoming dim `dims[k]`.
    #[track_caller]
    pub fn broadcast_in_dim(self, shape: impl Into<Shape>, dims: &[usize]) -> Tensor<'t> {
        let shape = shape.into();
        if self.shape() == shape {
            return self;
        }
        self.apply(BroadcastInDim { shape, dims: dims.to_vec() }, [self])
    }

    /// Dims in another order: result dim k is operand dim `permutation[k]`.
    #[track_caller]
    pub fn transpose(self, permutation: &[usize]) -> Tensor<'t> {
        if permutation.iter().copied().eq(0..self.rank()) {
            return self;
        }
        self.apply(Transpose { permutation: permutation.to_vec() }, [self])
    }

    /// With a dim of size 1 put in before `dim` (negative: counted from the end of the result).
    #[track_caller]
    pub fn expand_dims(self, dim: isize) -> Tensor<'t> {
        let rank = self.rank() as isize + 1;
        let index = if dim < 0 { dim + rank } else { dim };
        if !(0..rank).contains(&index) {
            self.trace().fail("expand_dims", format!("dim {dim} is out of range for {}", self.ty()));
        }
        let mut dims = self.shape().to_vec();
        dims.insert(index as usize, 1);
        self.reshape(dims)
    }

    /// Without a dim of size 1.
    #[track_caller]
    pub fn squeeze(self, dim: isize) -> Tensor<'t> {
        let index = self.dim_index(dim);
        let mut dims = self.shape().to_vec();
        if dims.remove(index) != 1 {
            self.trace().fail("squeeze", format!("dim {dim} of {} is not 1", self.ty()));
        }
        self.reshape(dims)
    }

    #[track_caller]
    pub(crate) fn reduce_sum(self, dims: &[usize]) -> Tensor<'t> {
        if dims.is_empty() { self } else { self.apply(ReduceSum { dims: dims.to_vec() }, [self]) }
    }

    /// The sum over dims.
    #[track_caller]
    pub fn sum(self, dims: &[isize]) -> Tensor<'t> {
        self.reduce_sum(&self.dim_indices(dims))
    }

    /// The mean over dims.
    #[track_caller]
    pub fn mean(self, dims: &[isize]) -> Tensor<'t> {
        let count: usize = self.dim_indices(dims).iter().map(|&dim| self.shape()[dim]).product();
        self.sum(dims) * (1.0 / count as f64)
    }

    /// The largest element over dims.
    #[track_caller]
    pub fn max(self, dims: &[isize]) -> Tensor<'t> {
        self.apply(ReduceMax { dims: self.dim_indices(dims) }, [self])
    }

    /// The smallest element over dims.
    #[track_caller]
    pub fn min(self, dims: &[isize]) -> Tensor<'t> {
        self.apply(ReduceMin { dims: self.dim_indices(dims) }, [self])
    }

    /// A reduction's result with the reduced dims kept at size 1.
    #[track_caller]
    fn keep(self, reduced: Tensor<'t>, dims: &[isize]) -> Tensor<'t> {
        let indices = self.dim_indices(dims);
        let shape = self.shape();
        let kept = shape.iter().enumerate().map(|(i, &size)| if indices.contains(&i) { 1 } else { size });
        reduced.reshape(kept.collect::<Shape>())
    }

    /// The sum over dims, which stay with size 1.
    #[track_caller]
    pub fn sum_keep(self, dims: &[isize]) -> Tensor<'t> {
        self.keep(self.sum(dims), dims)
    }

    /// The mean over dims, which stay with size 1.
    #[track_caller]
    pub fn mean_keep(self, dims: &[isize]) -> Tensor<'t> {
        self.keep(self.mean(dims), dims)
    }

    /// The largest element over dims, which stay with size 1.
    #[track_caller]
    pub fn max_keep(self, dims: &[isize]) -> Tensor<'t> {
        self.keep(self.max(dims), dims)
    }

    /// The sum of all elements, a scalar.
    #[track_caller]
    pub fn sum_all(self) -> Tensor<'t> {
        self.reduce_sum(&(0..self.rank()).collect::<Vec<_>>())
    }

    /// The mean of all elements, a scalar.
    #[track_caller]
    pub fn mean_all(self) -> Tensor<'t> {
        self.sum_all() * (1.0 / self.shape().elements() as f64)
    }

    /// `e^x / sum e^x` along a dim, without overflow.
    #[track_caller]
    pub fn softmax(self, dim: isize) -> Tensor<'t> {
        let exp = (self - self.max_keep(&[dim]).stop_gradient()).exp();
        exp / exp.sum_keep(&[dim])
    }

    /// `ln sum e^x` over a dim, without overflow.
    #[track_caller]
    pub fn logsumexp(self, dim: isize) -> Tensor<'t> {
        let max = self.max_keep(&[dim]).stop_gradient();
        (self - max).exp().sum(&[dim]).log() + max.squeeze(dim)
    }

    /// `x - ln sum e^x` along a dim.
    #[track_caller]
    pub fn log_softmax(self, dim: isize) -> Tensor<'t> {
        self - self.logsumexp(dim).expand_dims(dim)
    }

    /// `[.., m, k] x [.., k, n] -> [.., m, n]`: leading dims are equal, or the right operand has two dims only.
    #[track_caller]
    pub fn matmul(self, other: Tensor<'t>) -> Tensor<'t> {
        self.matmul_in(other, None)
    }

    /// [`Tensor::matmul`], multiplied in `compute` and summed in the operands' type.
    #[track_caller]
    pub fn matmul_in(self, other: Tensor<'t>, compute: Option<DType>) -> Tensor<'t> {
        let (left, right) = (self.rank(), other.rank());
        let batch: Vec<usize> = if right > 2 { (0..right - 2).collect() } else { Vec::new() };
        if left < 1 || right < 2 || (right > 2 && left != right) {
            let message = format!("{} and {} cannot be multiplied as matrices", self.ty(), other.ty());
            self.trace().fail("matmul", message);
        }
        let dims = DotDims {
            lhs_contract: vec![left - 1],
            rhs_contract: vec![right - 2],
            lhs_batch: batch.clone(),
            rhs_batch: batch,
        };
        self.dot_general_in(other, dims, compute)
    }

    /// The product over any pairing of dims.
    #[track_caller]
    pub fn dot_general(self, other: Tensor<'t>, dims: DotDims) -> Tensor<'t> {
        self.dot_general_in(other, dims, None)
    }

    /// [`Tensor::dot_general`], multiplied in `compute` and summed in the operands' type.
    #[track_caller]
    pub fn dot_general_in(self, other: Tensor<'t>, dims: DotDims, compute: Option<DType>) -> Tensor<'t> {
        self.apply(DotGeneral { dims, compute }, [self, other])
    }

    /// The type with another shape (for building operands).
    pub fn ty_with_shape(self, shape: impl Into<Shape>) -> TensorType {
        self.ty().with_shape(shape)
    }
}

macro_rules! operators {
    ($($operator:ident, $method:ident, $op:expr;)*) => {$(
        impl<'t> $operator for Tensor<'t> {
            type Output = Tensor<'t>;

            #[track_caller]
            fn $method(self, other: Tensor<'t>) -> Tensor<'t> {
                self.combine($op, other.into())
            }
        }

        impl<'t> $operator<f64> for Tensor<'t> {
            type Output = Tensor<'t>;

            #[track_caller]
            fn $method(self, other: f64) -> Tensor<'t> {
                self.combine($op, other.into())
            }
        }

        impl<'t> $operator<Tensor<'t>> for f64 {
            type Output = Tensor<'t>;

            #[track_caller]
            fn $method(self, other: Tensor<'t>) -> Tensor<'t> {
                other.operand(self.into()).combine($op, other.into())
            }
        }
    )*};
}

operators! {
    Add, add, e::Add;
    Sub, sub, e::Sub;
    Mul, mul, e::Mul;
    Div, div, e::Div;
}

impl<'t> Neg for Tensor<'t> {
    type Output = Tensor<'t>;

    #[track_caller]
    fn neg(self) -> Tensor<'t> {
        self.apply(e::Neg, [self])
    }
}
