//! Moving averages of parameters.

use twinflow_compiler::Tensor;
use twinflow_nn::Params;

/// `decay average + (1 - decay) params`; `decay` is a scalar.
#[track_caller]
pub fn moving_average<'t>(
    average: &Params<Tensor<'t>>,
    params: &Params<Tensor<'t>>,
    decay: Tensor<'t>,
) -> Params<Tensor<'t>> {
    average.zip_map(params, |average, param| decay * *average + (1.0 - decay) * *param)
}
