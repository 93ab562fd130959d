//! Elementwise methods, with NumPy's broadcasting.

use twinflow_array::DType;

use crate::{
    ops::{
        compare::{Compare, Relation, Select},
        convert::Convert,
        elementwise as e,
        identity::{Alias, StopGradient},
        logic,
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
    pub(super) fn combine(self, op: impl Primitive<2>, other: Operand<'t>) -> Tensor<'t> {
        let other = self.operand(other);
        let [a, b] = self.broadcast_together(other);
        self.apply(op, [a, b])
    }

    #[track_caller]
    pub(super) fn operand(self, operand: Operand<'t>) -> Tensor<'t> {
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
}
