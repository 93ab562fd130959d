//! A loop whose number of steps is known only when it runs.

use std::{panic::Location, sync::Arc};

use ndarray::ArrayD;
use twinflow_array::{DType, TensorType};

use super::prelude::*;
use crate::{
    error::TraceErrorKind,
    interpreter::interpret,
    primitive::{Bodies, require_carries, require_inputs},
    stablehlo::lower_body,
    trace::trace,
};

/// `while condition(carry, constants) { carry = body(carry, constants) }`; both programs take all operands.
#[derive(Clone, Debug)]
pub struct While {
    pub(crate) condition: Arc<Program>,
    pub(crate) body: Arc<Program>,
}

impl While {
    fn carries(&self) -> usize {
        self.body.outputs.len()
    }
}

impl Bodies for While {
    fn programs(&self) -> Vec<&Program> {
        vec![&self.condition, &self.body]
    }

    fn with_programs(&self, programs: Vec<Program>) -> Arc<dyn Op> {
        let [condition, body] = <[_; 2]>::try_from(programs).expect("two programs for two").map(Arc::new);
        Arc::new(While { condition, body })
    }
}

impl Op for While {
    fn name(&self) -> &'static str {
        "while"
    }

    fn attributes(&self) -> String {
        format!("{{ carries: {} }}", self.carries())
    }

    fn properties(&self) -> Properties {
        Properties::SAVE
    }

    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, TypeError> {
        let inputs = self.body.input_types();
        require_inputs(operands, &inputs)?;
        let outputs = self.body.output_types();
        require_carries(&inputs, &outputs)?;
        let condition = self.condition.output_types();
        let truth = TensorType::scalar(DType::Bool);
        condition[0].require(condition == [truth], || "the loop's condition is not one bool scalar".to_owned())?;
        Ok(outputs)
    }

    fn lower(&self, operands: &[Value], results: &[TensorType], block: &mut Block) -> Vec<Value> {
        let finals = block.while_loop(
            operands,
            |state, block| lower_body(&self.condition, state, block).swap_remove(0),
            |state, block| {
                let carries = lower_body(&self.body, state, block);
                [&carries, &state[carries.len()..]].concat()
            },
        );
        finals[..results.len()].to_vec()
    }

    /// No reverse rule: the number of steps, hence of residuals, is not known when the program is compiled.
    fn vjp<'t>(&self, x: &[Tensor<'t>], _: &[Tensor<'t>], _: &[Option<Tensor<'t>>]) -> Vec<Option<Tensor<'t>>> {
        let kind = TraceErrorKind::NoRule { rule: "reverse", hint: "use scan, whose number of steps is fixed" };
        let types: Vec<TensorType> = x.iter().map(|x| x.ty()).collect();
        x[0].trace().raise(kind, self.name(), &types, Location::caller())
    }

    /// No forward rule: nothing in training or sampling derives through a while; scan has both rules.
    fn jvp<'t>(&self, x: &[Tensor<'t>], _: &[Tensor<'t>], _: &[Option<Tensor<'t>>]) -> Vec<Option<Tensor<'t>>> {
        let kind = TraceErrorKind::NoRule { rule: "forward", hint: "use scan, whose number of steps is fixed" };
        let types: Vec<TensorType> = x.iter().map(|x| x.ty()).collect();
        x[0].trace().raise(kind, self.name(), &types, Location::caller())
    }

    fn eval(&self, operands: &[ArrayD<f64>], _: &[TensorType]) -> Vec<ArrayD<f64>> {
        let mut state = operands.to_vec();
        while interpret(&self.condition, &state)[0].sum() != 0.0 {
            let carries = interpret(&self.body, &state);
            state.splice(..carries.len(), carries);
        }
        state.truncate(self.carries());
        state
    }

    fn cost(&self, _: &[TensorType], _: &[TensorType]) -> Cost {
        Cost::FREE
    }

    fn bodies(&self) -> Option<&dyn Bodies> {
        Some(self)
    }

    fn samples() -> Vec<Sample> {
        let types = vec![TensorType::scalar(DType::I32), TensorType::new(DType::F64, [2])];
        let build = |f: &dyn Fn(&[Tensor<'_>]) -> Vec<TensorType>| {
            let (program, _) =
                trace(|t| f(&t.inputs::<Vec<TensorType>>("", &types))).expect("the sample's types agree");
            Arc::new(Program { input_names: Vec::new(), output_names: Vec::new(), ..program })
        };
        let condition = build(&|x| x[0].trace().outputs("", &vec![x[0].lt(3.0)]));
        let body = build(&|x| x[0].trace().outputs("", &vec![x[0] + 1.0, x[1] * 1.5]));
        let operands = vec![sample::integers(DType::I32, &[], &[0]), sample::spread(&[2], 0, &(-1.0..1.0))];
        vec![Sample::of_op(While { condition, body }, operands)]
    }
}
