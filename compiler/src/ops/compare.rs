//! Comparisons and choice.

use ndarray::{ArrayD, Zip};
use twinflow_array::{DType, TensorType};

use super::prelude::*;

/// The relations of [`Compare`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `a == b`
    Eq,
    /// `a != b`
    Ne,
    /// `a < b`
    Lt,
    /// `a <= b`
    Le,
    /// `a > b`
    Gt,
    /// `a >= b`
    Ge,
}

/// `y = (a relation b)`, a bool; no derivative.
#[derive(Clone, Debug, PartialEq)]
pub struct Compare {
    pub relation: Relation,
}

impl Primitive<2> for Compare {
    const NAME: &'static str = "compare";
    const PROPERTIES: Properties = Properties::CHEAP;

    fn infer(&self, [a, b]: [&TensorType; 2]) -> Result<TensorType, TypeError> {
        Ok(a.require_same(b)?.with_dtype(DType::Bool))
    }

    fn lower(&self, [a, b]: [Value; 2], ty: &TensorType, block: &mut Block) -> Value {
        let direction = format!("{:?}", self.relation).to_uppercase();
        let kind = match a.ty.dtype {
            dtype if dtype.is_float() => "FLOAT",
            DType::I32 | DType::I64 => "SIGNED",
            _ => "UNSIGNED",
        };
        let operands = format!("{direction}, {}, {}, {kind}", a.name, b.name);
        let ab = a.ty.mlir();
        block.emit(&format!("stablehlo.compare {operands} : ({ab}, {ab}) -> {}", ty.mlir()), ty)
    }

    fn vjp<'t>(&self, _: [Tensor<'t>; 2], _: Tensor<'t>, _: Tensor<'t>) -> [Option<Tensor<'t>>; 2] {
        [None, None]
    }

    fn jvp<'t>(&self, _: [Tensor<'t>; 2], _: Tensor<'t>, _: [Option<Tensor<'t>>; 2]) -> Option<Tensor<'t>> {
        None
    }

    fn eval(&self, [a, b]: [&ArrayD<f64>; 2], _: &TensorType) -> ArrayD<f64> {
        let holds = |a: f64, b: f64| match self.relation {
            Relation::Eq => a == b,
            Relation::Ne => a != b,
            Relation::Lt => a < b,
            Relation::Le => a <= b,
            Relation::Gt => a > b,
            Relation::Ge => a >= b,
        };
        Zip::from(a).and(b).map_collect(|&a, &b| f64::from(u8::from(holds(a, b))))
    }

    fn cost(&self, [a, b]: [&TensorType; 2], y: &TensorType) -> Cost {
        Cost::elementwise([a, b], y)
    }

    fn samples() -> Vec<Sample> {
        let relations = [Relation::Eq, Relation::Ne, Relation::Lt, Relation::Le, Relation::Gt, Relation::Ge];
        let floats = relations.map(|relation| Sample::uniform(Compare { relation }, [&[2, 3], &[2, 3]], -1.0..1.0));
        let integers = [DType::I32, DType::U32].map(|dtype| {
            let [a, b] = [[1, 2, 3], [3, 2, 1]].map(|values| sample::integers(dtype, &[3], &values));
            Sample::of(Compare { relation: Relation::Le }, [a, b])
        });
        floats.into_iter().chain(integers).collect()
    }
}

/// `y = condition ? a : b`; the cotangent goes where the value came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Select;

impl Primitive<3> for Select {
    const NAME: &'static str = "select";
    const PROPERTIES: Properties = Properties::CHEAP;

    fn infer(&self, [condition, a, b]: [&TensorType; 3]) -> Result<TensorType, TypeError> {
        condition.require_bool()?;
        a.require_same(b)?;
        condition.require_same(&a.with_dtype(DType::Bool))?;
        Ok(a.clone())
    }

    fn lower(&self, [condition, a, b]: [Value; 3], ty: &TensorType, block: &mut Block) -> Value {
        let names = format!("{}, {}, {}", condition.name, a.name, b.name);
        block.emit(&format!("stablehlo.select {names} : {}, {}", condition.ty.mlir(), ty.mlir()), ty)
    }

    fn vjp<'t>(&self, x: [Tensor<'t>; 3], _: Tensor<'t>, y_bar: Tensor<'t>) -> [Option<Tensor<'t>>; 3] {
        let zeros = y_bar.zeros_like();
        [None, Some(x[0].select(y_bar, zeros)), Some(x[0].select(zeros, y_bar))]
    }

    fn jvp<'t>(&self, x: [Tensor<'t>; 3], y: Tensor<'t>, x_dot: [Option<Tensor<'t>>; 3]) -> Option<Tensor<'t>> {
        let zeros = y.zeros_like();
        add_some([x_dot[1].map(|a| x[0].select(a, zeros)), x_dot[2].map(|b| x[0].select(zeros, b))])
    }

    fn eval(&self, [condition, a, b]: [&ArrayD<f64>; 3], _: &TensorType) -> ArrayD<f64> {
        Zip::from(condition).and(a).and(b).map_collect(|&c, &a, &b| if c != 0.0 { a } else { b })
    }

    fn cost(&self, [condition, a, b]: [&TensorType; 3], y: &TensorType) -> Cost {
        Cost::elementwise([condition, a, b], y)
    }

    fn samples() -> Vec<Sample> {
        let condition = sample::integers(DType::Bool, &[2, 2], &[1, 0, 0, 1]);
        let [a, b] = [1, 2].map(|seed| sample::spread(&[2, 2], seed, &(-1.0..1.0)));
        vec![Sample::of(Select, [condition, a, b])]
    }
}
