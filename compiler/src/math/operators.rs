//! `+ - * /` between tensors and numbers.

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::{ops::elementwise as e, trace::Tensor};

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
