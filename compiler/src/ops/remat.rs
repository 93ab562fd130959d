//! Rematerialisation: trade a second forward pass for the memory of the residuals (Chen et al. 2016).

use std::sync::Arc;

use ndarray::ArrayD;
use twinflow_array::{DType, TensorType};

use super::prelude::*;
use crate::{
    autodiff::{backward, pushforward},
    interpreter::interpret,
    primitive::{Bodies, require_inputs},
    stablehlo::lower_body,
    trace::trace,
};

/// `y = body(x)`, of which the reverse rule keeps the operands only and runs the body again.
#[derive(Clone, Debug)]
pub struct Remat {
    pub(crate) body: Arc<Program>,
}

impl Bodies for Remat {
    fn programs(&self) -> Vec<&Program> {
        vec![&self.body]
    }

    fn with_programs(&self, programs: Vec<Program>) -> Arc<dyn Op> {
        let [body] = programs.try_into().expect("one program for one");
        Arc::new(Remat { body: Arc::new(body) })
    }

    fn steps(&self) -> Option<u64> {
        Some(1)
    }
}

impl Op for Remat {
    fn name(&self) -> &'static str {
        "remat"
    }

    fn properties(&self) -> Properties {
        Properties::SAVE
    }

    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, TypeError> {
        require_inputs(operands, &self.body.input_types())?;
        Ok(self.body.output_types())
    }

    fn lower(&self, operands: &[Value], _: &[TensorType], block: &mut Block) -> Vec<Value> {
        lower_body(&self.body, operands, block)
    }

    fn vjp<'t>(&self, x: &[Tensor<'t>], _: &[Tensor<'t>], y_bar: &[Option<Tensor<'t>>]) -> Vec<Option<Tensor<'t>>> {
        let trace = x[0].trace();
        // The barrier ties the second pass to the cotangents' arrival: XLA may not share it with the first one.
        let cotangents: Vec<Tensor<'t>> = y_bar.iter().flatten().copied().collect();
        let tied = super::barrier::optimization_barrier(&[x, &cotangents].concat());
        let (x, cotangents) = tied.split_at(x.len());
        let mut cotangents = cotangents.iter().copied();
        let begin = trace.mark();
        let y = self.body.replay(trace, x);
        let targets: Vec<_> = y.into_iter().zip(y_bar.iter().map(|bar| bar.and_then(|_| cotangents.next()))).collect();
        backward(trace, begin, trace.mark(), x, &targets)
    }

    fn jvp<'t>(&self, x: &[Tensor<'t>], _: &[Tensor<'t>], x_dot: &[Option<Tensor<'t>>]) -> Vec<Option<Tensor<'t>>> {
        let trace = x[0].trace();
        let x: Vec<Tensor<'t>> = x.iter().map(|x| x.alias()).collect();
        let begin = trace.mark();
        let y = self.body.replay(trace, &x);
        let sources: Vec<_> = x.into_iter().zip(x_dot.iter().copied()).collect();
        pushforward(trace, begin, trace.mark(), &sources, &y)
    }

    fn eval(&self, operands: &[ArrayD<f64>], _: &[TensorType]) -> Vec<ArrayD<f64>> {
        interpret(&self.body, operands)
    }

    fn cost(&self, _: &[TensorType], _: &[TensorType]) -> Cost {
        Cost::FREE
    }

    fn bodies(&self) -> Option<&dyn Bodies> {
        Some(self)
    }

    fn samples() -> Vec<Sample> {
        let types = vec![TensorType::new(DType::F64, [2, 3]); 2];
        let (body, ()) = trace(|t| {
            let x: Vec<Tensor<'_>> = t.inputs("", &types);
            let hidden = (x[0] * x[1]).tanh();
            t.outputs("", &vec![hidden.exp() * x[0]]);
        })
        .expect("the sample's types agree");
        let body = Arc::new(Program { input_names: Vec::new(), output_names: Vec::new(), ..body });
        let operands = (0..2).map(|seed| sample::spread(&[2, 3], seed, &(-1.0..1.0))).collect();
        vec![Sample::of_op(Remat { body }, operands)]
    }
}
