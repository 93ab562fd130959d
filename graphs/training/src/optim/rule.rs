//! Update rules, each for one parameter. Moments are f32; scalars that depend on the step only are f64.

use twinflow_array::DType;
use twinflow_compiler::Tensor;

use crate::optim::{OptimizerConfig, OptimizerKind};

/// What every parameter's update shares in one step: f32 scalars.
pub(super) struct StepScalars<'t> {
    pub learning_rate: Tensor<'t>,
    /// 1 / (1 - beta_1^n) after n updates.
    first_correction: Tensor<'t>,
    /// 1 / (1 - beta_2^n).
    second_correction: Tensor<'t>,
    /// RAdam's variance rectification, 0 while the variance is untractable.
    rectification: Tensor<'t>,
}

impl<'t> StepScalars<'t> {
    /// `updates` (integer scalar) counts this update too.
    pub(super) fn new(config: &OptimizerConfig, updates: Tensor<'t>, learning_rate: Tensor<'t>) -> Self {
        let n = updates.convert(DType::F64);
        let power = |beta: f64| (n * beta.ln()).exp();
        // 1 - beta^n by expm1 keeps its digits for beta near 1.
        let correction = |beta: f64| if beta == 0.0 { n.full_like(1.0) } else { (-(n * beta.ln()).exp_m1()).recip() };
        let beta = config.betas[1];
        let longest = 2.0 / (1.0 - beta) - 1.0;
        let length = longest - n * power(beta) * correction(beta) * 2.0;
        // Liu et al. 2020, algorithm 2; where the approximated length is 5 or less, Adam without its second moment.
        let variance = (length - 4.0) * (length - 2.0) * longest / (length * ((longest - 4.0) * (longest - 2.0)));
        let rectification = length.gt(5.0).select(variance.maximum(0.0).sqrt(), 0.0);
        let f32 = |x: Tensor<'t>| x.convert(DType::F32);
        StepScalars {
            learning_rate: f32(learning_rate),
            first_correction: f32(correction(config.betas[0])),
            second_correction: f32(correction(beta)),
            rectification: f32(rectification),
        }
    }
}

/// A parameter with its moments; SGD has only the first, as its momentum.
pub(super) struct Updated<'t> {
    pub param: Tensor<'t>,
    pub first: Tensor<'t>,
    pub second: Option<Tensor<'t>>,
}

/// One update of one parameter by its (clipped) gradient.
pub(super) fn update<'t>(
    config: &OptimizerConfig,
    scalars: &StepScalars<'t>,
    old: Updated<'t>,
    gradient: Tensor<'t>,
    weight_decay: f64,
) -> Updated<'t> {
    let Updated { param, first, second } = old;
    let rate = scalars.learning_rate;
    let Some(second) = second else {
        let gradient = if weight_decay == 0.0 { gradient } else { gradient + param * weight_decay };
        let first = first * config.momentum + gradient;
        return Updated { param: param - rate * first, first, second: None };
    };
    let [beta_1, beta_2] = config.betas;
    let first = first * beta_1 + gradient * (1.0 - beta_1);
    let second = second * beta_2 + gradient.square() * (1.0 - beta_2);
    let mean = first * scalars.first_correction;
    let scaled = mean / ((second * scalars.second_correction).sqrt() + config.eps);
    let direction = match config.kind {
        OptimizerKind::RAdam => {
            let tractable = scalars.rectification.gt(0.0).broadcast_to(param.shape());
            tractable.select(scaled * scalars.rectification, mean)
        }
        OptimizerKind::AdamW | OptimizerKind::Sgd => scaled,
    };
    let decayed = if weight_decay == 0.0 { param } else { param * (1.0 - rate * weight_decay) };
    Updated { param: decayed - rate * direction, first, second: Some(second) }
}
