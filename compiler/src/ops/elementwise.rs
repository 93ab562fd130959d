//! Arithmetic and functions on each element. One derivative per operand serves both rules.

use ndarray::{ArrayD, Zip};
use twinflow_array::{DType, TensorType};

use super::prelude::*;
use crate::properties::Fold;

const SAVE: Properties = Properties::SAVE;
const CHEAP: Properties = Properties::CHEAP;

/// `y = f(x)` with `dy/dx` as a function of x and y.
macro_rules! unary {
    ($($(#[$doc:meta])* $op:ident, $name:literal, $properties:expr, $hlo:literal, $range:expr, $eval:expr, $derivative:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $op;

        impl Primitive<1> for $op {
            const NAME: &'static str = $name;
            const PROPERTIES: Properties = $properties;

            fn infer(&self, [x]: [&TensorType; 1]) -> Result<TensorType, TypeError> {
                x.require_number()
            }

            fn lower(&self, [x]: [Value; 1], ty: &TensorType, block: &mut Block) -> Value {
                lower_unary($hlo, x, ty, block)
            }

            fn vjp<'t>(&self, [x]: [Tensor<'t>; 1], y: Tensor<'t>, y_bar: Tensor<'t>) -> [Option<Tensor<'t>>; 1] {
                let derivative: fn(Tensor<'t>, Tensor<'t>) -> Option<Tensor<'t>> = $derivative;
                [derivative(x, y).map(|d| y_bar * d)]
            }

            fn jvp<'t>(&self, [x]: [Tensor<'t>; 1], y: Tensor<'t>, [x_dot]: [Option<Tensor<'t>>; 1]) -> Option<Tensor<'t>> {
                let derivative: fn(Tensor<'t>, Tensor<'t>) -> Option<Tensor<'t>> = $derivative;
                Some(x_dot? * derivative(x, y)?)
            }

            fn eval(&self, [x]: [&ArrayD<f64>; 1], _: &TensorType) -> ArrayD<f64> {
                let f: fn(f64) -> f64 = $eval;
                x.mapv(f)
            }

            fn cost(&self, [x]: [&TensorType; 1], y: &TensorType) -> Cost {
                Cost::elementwise([x], y)
            }

            fn samples() -> Vec<Sample> {
                vec![Sample::uniform($op, [&[2, 3]], $range)]
            }
        }
    )*};
}

/// Most are `op x : type`; those of the chlo dialect name the result's type too.
fn lower_unary(op: &str, x: Value, ty: &TensorType, block: &mut Block) -> Value {
    if op.starts_with("chlo.") {
        block.emit(&format!("{op} {} : {} -> {}", x.name, x.ty.mlir(), ty.mlir()), ty)
    } else {
        block.unary(op, &x, ty)
    }
}

unary! {
    /// `y = |x|`; `dy/dx = sign(x)`.
    Abs, "abs", SAVE, "stablehlo.abs", 0.5..2.0, f64::abs, |x, _| Some(x.sign());
    /// `y = ceil(x)`; flat.
    Ceil, "ceil", SAVE, "stablehlo.ceil", 0.1..0.9, f64::ceil, |_, _| None;
    /// `y = cos(x)`; `dy/dx = -sin(x)`.
    Cos, "cos", SAVE, "stablehlo.cosine", -2.0..2.0, f64::cos, |x, _| Some(-x.sin());
    /// `y = erf(x)`; `dy/dx = 2/sqrt(pi) exp(-x^2)`.
    Erf, "erf", SAVE, "chlo.erf", -1.5..1.5, erf, |x, _| Some((-(x * x)).exp() * std::f64::consts::FRAC_2_SQRT_PI);
    /// `y = exp(x)`; `dy/dx = y`.
    Exp, "exp", SAVE, "stablehlo.exponential", -2.0..2.0, f64::exp, |_, y| Some(y);
    /// `y = exp(x) - 1`; `dy/dx = y + 1`.
    ExpM1, "exp_m1", SAVE, "stablehlo.exponential_minus_one", -1.0..1.0, f64::exp_m1, |_, y| Some(y + 1.0);
    /// `y = floor(x)`; flat.
    Floor, "floor", SAVE, "stablehlo.floor", 0.1..0.9, f64::floor, |_, _| None;
    /// `y = ln(x)`; `dy/dx = 1/x`.
    Log, "log", SAVE, "stablehlo.log", 0.5..3.0, f64::ln, |x, _| Some(x.recip());
    /// `y = ln(1 + x)`; `dy/dx = 1/(1 + x)`.
    Log1p, "log1p", SAVE, "stablehlo.log_plus_one", -0.5..2.0, f64::ln_1p, |x, _| Some((x + 1.0).recip());
    /// `y = -x`.
    Neg, "neg", CHEAP.folding(Fold::Scalar), "stablehlo.negate", -2.0..2.0, |x| -x, |x, _| Some(x.full_like(-1.0));
    /// `y = x` rounded, halves to even; flat.
    Round, "round", SAVE, "stablehlo.round_nearest_even", 0.6..1.4, f64::round_ties_even, |_, _| None;
    /// `y = 1/sqrt(x)`; `dy/dx = -y/(2x)`.
    Rsqrt, "rsqrt", SAVE, "stablehlo.rsqrt", 0.5..3.0, |x| 1.0 / x.sqrt(), |x, y| Some(y * -0.5 / x);
    /// `y = 1/(1 + exp(-x))`; `dy/dx = y (1 - y)`.
    Sigmoid, "sigmoid", SAVE, "stablehlo.logistic", -2.0..2.0, |x| 1.0 / (1.0 + (-x).exp()), |_, y| Some(y * (1.0 - y));
    /// `y = -1, 0 or 1`; flat.
    Sign, "sign", SAVE, "stablehlo.sign", 0.5..2.0, |x| if x == 0.0 { 0.0 } else { x.signum() }, |_, _| None;
    /// `y = sin(x)`; `dy/dx = cos(x)`.
    Sin, "sin", SAVE, "stablehlo.sine", -2.0..2.0, f64::sin, |x, _| Some(x.cos());
    /// `y = sqrt(x)`; `dy/dx = 1/(2y)`.
    Sqrt, "sqrt", SAVE, "stablehlo.sqrt", 0.5..3.0, f64::sqrt, |_, y| Some(0.5 / y);
    /// `y = tan(x)`; `dy/dx = 1 + y^2`.
    Tan, "tan", SAVE, "stablehlo.tan", -1.0..1.0, f64::tan, |_, y| Some(y * y + 1.0);
    /// `y = tanh(x)`; `dy/dx = 1 - y^2`.
    Tanh, "tanh", SAVE, "stablehlo.tanh", -2.0..2.0, f64::tanh, |_, y| Some(1.0 - y * y);
}

/// `y = f(a, b)` with `dy/da` and `dy/db` as functions of a, b and y, or `None` where y does not depend.
macro_rules! binary {
    ($($(#[$doc:meta])* $op:ident, $name:literal, $properties:expr, $hlo:literal, $range:expr, $eval:expr, $da:expr, $db:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $op;

        impl Primitive<2> for $op {
            const NAME: &'static str = $name;
            const PROPERTIES: Properties = $properties;

            fn infer(&self, [a, b]: [&TensorType; 2]) -> Result<TensorType, TypeError> {
                a.require_number()?;
                a.require_same(b)
            }

            fn lower(&self, [a, b]: [Value; 2], ty: &TensorType, block: &mut Block) -> Value {
                block.binary($hlo, &a, &b, ty)
            }

            fn vjp<'t>(&self, [a, b]: [Tensor<'t>; 2], y: Tensor<'t>, y_bar: Tensor<'t>) -> [Option<Tensor<'t>>; 2] {
                let da: fn(Tensor<'t>, Tensor<'t>, Tensor<'t>, Tensor<'t>) -> Option<Tensor<'t>> = $da;
                let db: fn(Tensor<'t>, Tensor<'t>, Tensor<'t>, Tensor<'t>) -> Option<Tensor<'t>> = $db;
                [da(y_bar, a, b, y), db(y_bar, a, b, y)]
            }

            fn jvp<'t>(&self, [a, b]: [Tensor<'t>; 2], y: Tensor<'t>, [a_dot, b_dot]: [Option<Tensor<'t>>; 2]) -> Option<Tensor<'t>> {
                let da: fn(Tensor<'t>, Tensor<'t>, Tensor<'t>, Tensor<'t>) -> Option<Tensor<'t>> = $da;
                let db: fn(Tensor<'t>, Tensor<'t>, Tensor<'t>, Tensor<'t>) -> Option<Tensor<'t>> = $db;
                add_some([a_dot.and_then(|a_dot| da(a_dot, a, b, y)), b_dot.and_then(|b_dot| db(b_dot, a, b, y))])
            }

            fn eval(&self, [a, b]: [&ArrayD<f64>; 2], _: &TensorType) -> ArrayD<f64> {
                let f: fn(f64, f64) -> f64 = $eval;
                Zip::from(a).and(b).map_collect(|&a, &b| f(a, b))
            }

            fn cost(&self, [a, b]: [&TensorType; 2], y: &TensorType) -> Cost {
                Cost::elementwise([a, b], y)
            }

            fn samples() -> Vec<Sample> {
                vec![Sample::uniform($op, [&[2, 3], &[2, 3]], $range)]
            }
        }
    )*};
}

// The derivative is applied to a (co)tangent g at once, so that adding and subtracting multiply by nothing.
binary! {
    /// `y = a + b`.
    Add, "add", CHEAP.arithmetic([Some(0.0); 2]), "stablehlo.add", -2.0..2.0, |a, b| a + b, |g, _, _, _| Some(g), |g, _, _, _| Some(g);
    /// `y = a / b`; `dy/da = 1/b`, `dy/db = -y/b`.
    Div, "div", SAVE.arithmetic([None, Some(1.0)]), "stablehlo.divide", 0.5..2.0, divide, |g, _, b, _| Some(g / b), |g, _, b, y| Some(-g * y / b);
    /// `y = max(a, b)`; the larger takes all, ties go to a.
    Max, "max", CHEAP, "stablehlo.maximum", -2.0..2.0, f64::max,
        |g, a, b, _| Some(a.ge(b).select(g, 0.0)), |g, a, b, _| Some(a.ge(b).select(g.zeros_like(), g));
    /// `y = min(a, b)`; the smaller takes all, ties go to a.
    Min, "min", CHEAP, "stablehlo.minimum", -2.0..2.0, f64::min,
        |g, a, b, _| Some(a.le(b).select(g, 0.0)), |g, a, b, _| Some(a.le(b).select(g.zeros_like(), g));
    /// `y = a b`; `dy/da = b`, `dy/db = a`.
    Mul, "mul", CHEAP.arithmetic([Some(1.0); 2]), "stablehlo.multiply", -2.0..2.0, |a, b| a * b, |g, _, b, _| Some(g * b), |g, a, _, _| Some(g * a);
    /// `y = a^b`; `dy/da = b a^(b-1)`, `dy/db = y ln a` (0 where a = 0).
    Pow, "pow", SAVE, "stablehlo.power", 0.5..2.0, f64::powf,
        |g, a, b, _| Some(g * b * a.pow(b - 1.0)),
        |g, a, _, y| Some(g * a.eq(0.0).select(y.zeros_like(), y * a.eq(0.0).select(a.full_like(1.0), a).log()));
    /// `y = a - b trunc(a / b)`; `dy/da = 1`, `dy/db = -trunc(a / b)`.
    Rem, "rem", SAVE, "stablehlo.remainder", 0.7..0.95, |a, b| a % b,
        |g, _, _, _| Some(g), |g, a, b, y| Some(-g * ((a - y) / b));
    /// `y = a - b`.
    Sub, "sub", CHEAP.arithmetic([None, Some(0.0)]), "stablehlo.subtract", -2.0..2.0, |a, b| a - b, |g, _, _, _| Some(g), |g, _, _, _| Some(-g);
}

/// Integer division by the reference truncates when the interpreter wraps to the result's type.
fn divide(a: f64, b: f64) -> f64 {
    a / b
}

/// `y = min(max(x, low), high)`; `dy/dx = 1` inside, 0 outside (as torch.clamp: 1 on the borders).
#[derive(Clone, Debug)]
pub struct Clamp {
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

impl PartialEq for Clamp {
    /// By bits: -0 is not 0.
    fn eq(&self, other: &Self) -> bool {
        [self.low, self.high].map(f64::to_bits) == [other.low, other.high].map(f64::to_bits)
    }
}

impl Clamp {
    fn derivative<'t>(&self, x: Tensor<'t>, g: Tensor<'t>) -> Tensor<'t> {
        x.ge(self.low).and(x.le(self.high)).select(g, 0.0)
    }
}

impl Primitive<1> for Clamp {
    const NAME: &'static str = "clamp";
    const PROPERTIES: Properties = Properties::CHEAP;

    fn infer(&self, [x]: [&TensorType; 1]) -> Result<TensorType, TypeError> {
        x.require(self.low <= self.high, || format!("clamp needs low <= high, not {} and {}", self.low, self.high))?;
        x.require_number()
    }

    fn lower(&self, [x]: [Value; 1], ty: &TensorType, block: &mut Block) -> Value {
        let scalar = ty.with_shape([]);
        let low = block.splat(&scalar, self.low);
        let high = block.splat(&scalar, self.high);
        block.call("stablehlo.clamp", &[&low, &x, &high], "", ty)
    }

    fn vjp<'t>(&self, [x]: [Tensor<'t>; 1], _: Tensor<'t>, y_bar: Tensor<'t>) -> [Option<Tensor<'t>>; 1] {
        [Some(self.derivative(x, y_bar))]
    }

    fn jvp<'t>(&self, [x]: [Tensor<'t>; 1], _: Tensor<'t>, [x_dot]: [Option<Tensor<'t>>; 1]) -> Option<Tensor<'t>> {
        Some(self.derivative(x, x_dot?))
    }

    fn eval(&self, [x]: [&ArrayD<f64>; 1], _: &TensorType) -> ArrayD<f64> {
        x.mapv(|x| x.clamp(self.low, self.high))
    }

    fn cost(&self, [x]: [&TensorType; 1], y: &TensorType) -> Cost {
        Cost::elementwise([x], y)
    }

    fn samples() -> Vec<Sample> {
        vec![Sample::uniform(Clamp { low: -0.5, high: 0.8 }, [&[3, 4]], -2.0..2.0)]
    }
}

/// The reference's erf: the Taylor series, exact to rounding for |x| < 3, else by the complement's continued fraction.
fn erf(x: f64) -> f64 {
    if x.abs() >= 3.0 {
        let fraction = (1..60).rev().fold(x.abs(), |tail, k| x.abs() + (k as f64 / 2.0) / tail);
        return x.signum() * (1.0 - (-x * x).exp() / (std::f64::consts::PI.sqrt() * fraction));
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / n as f64;
        sum += term / (2 * n + 1) as f64;
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

trait RequireNumber {
    fn require_number(&self) -> Result<TensorType, TypeError>;
}

impl RequireNumber for TensorType {
    fn require_number(&self) -> Result<TensorType, TypeError> {
        if self.dtype == DType::Bool {
            return Err(TypeError::Kind { expected: "a number", found: self.clone() });
        }
        Ok(self.clone())
    }
}
