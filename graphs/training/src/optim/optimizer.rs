//! The optimizer over all parameters.

use twinflow_array::{DType, HostArray, Leaf, ParamPath, ParamRules, TensorType, Tree, leaves, map};
use twinflow_compiler::Tensor;
use twinflow_nn::{ConfigError, Params};

use crate::optim::{
    OptimizerConfig, OptimizerKind,
    rule::{self, StepScalars, Updated},
};

/// What the optimizer remembers between updates.
#[derive(Clone, Debug, Tree)]
pub struct OptimizerState<L> {
    /// Updates made, u32.
    pub updates: L,
    /// Moving mean of the gradients; SGD's momentum.
    pub first: Params<L>,
    /// Moving mean of their squares (AdamW, RAdam).
    pub second: Option<Params<L>>,
}

/// Updates parameters by their gradients.
#[derive(Clone, Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    undecayed: ParamRules<()>,
    /// End of the learning-rate schedule.
    steps: u64,
}

/// What an update gives.
#[derive(Clone, Debug)]
pub struct Update<L> {
    /// After the step.
    pub params: Params<L>,
    /// Moments that include this gradient.
    pub state: OptimizerState<L>,
    /// Norm of the gradient before clipping, f32 scalar.
    pub grad_norm: L,
    /// The learning rate used, f32 scalar.
    pub learning_rate: L,
}

impl Optimizer {
    /// An optimizer whose schedule ends at `steps`.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for the first value that is not allowed.
    pub fn new(config: OptimizerConfig, steps: u64) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Optimizer { undecayed: config.undecayed()?, config, steps })
    }

    /// The state's types, for parameters of the given types.
    pub fn state_spec(&self, params: &Params<TensorType>) -> OptimizerState<TensorType> {
        self.state_of(TensorType::scalar(DType::U32), || params.clone())
    }

    /// The state before the first update.
    pub fn init(&self, params: &Params<TensorType>) -> OptimizerState<HostArray> {
        self.state_of(HostArray::scalar(0u32), || map(params, |_, ty| HostArray::zeros(ty.clone())))
    }

    fn state_of<L: Leaf>(&self, updates: L, moment: impl Fn() -> Params<L>) -> OptimizerState<L> {
        let has_second = self.config.kind != OptimizerKind::Sgd;
        OptimizerState { updates, first: moment(), second: has_second.then(&moment) }
    }

    /// The update at `step` (integer scalar, from 0; sets the learning rate).
    #[track_caller]
    pub fn update<'t>(
        &self,
        step: Tensor<'t>,
        params: &Params<Tensor<'t>>,
        gradients: &Params<Tensor<'t>>,
        state: &OptimizerState<Tensor<'t>>,
    ) -> Update<Tensor<'t>> {
        let updates = state.updates + 1.0;
        let scalars = StepScalars::new(&self.config, updates, self.config.learning_rate_at(step, self.steps));
        let grad_norm = global_norm(gradients);
        let clipped = self.clip(gradients, grad_norm);
        let updated: Vec<Updated<'t>> = params
            .paths()
            .enumerate()
            .map(|(i, path)| {
                let second = state.second.as_ref().map(|second| second.leaves()[i]);
                let old = Updated { param: params.leaves()[i], first: state.first.leaves()[i], second };
                let decay = self.weight_decay(path);
                rule::update(&self.config, &scalars, old, clipped.leaves()[i], decay)
            })
            .collect();
        let collect = |leaf: &dyn Fn(&Updated<'t>) -> Tensor<'t>| params.with_leaves(updated.iter().map(leaf));
        let second = state.second.as_ref().map(|_| collect(&|u| u.second.unwrap_or(u.first)));
        let state = OptimizerState { updates, first: collect(&|u| u.first), second };
        Update { params: collect(&|u| u.param), state, grad_norm, learning_rate: scalars.learning_rate }
    }

    fn clip<'t>(&self, gradients: &Params<Tensor<'t>>, norm: Tensor<'t>) -> Params<Tensor<'t>> {
        if self.config.clip_norm == 0.0 {
            return gradients.clone();
        }
        let scale = (self.config.clip_norm / (norm + 1e-6)).minimum(1.0);
        map(gradients, |_, gradient| *gradient * scale)
    }

    fn weight_decay(&self, path: &ParamPath) -> f64 {
        if self.undecayed.find(path).is_some() { 0.0 } else { self.config.weight_decay }
    }
}

/// Root of the sum of all squares, f32 scalar.
///
/// # Panics
/// If there are no gradients: a network has parameters.
#[track_caller]
pub fn global_norm<'t>(gradients: &Params<Tensor<'t>>) -> Tensor<'t> {
    let squares = leaves(gradients).into_iter().map(|gradient| gradient.square().sum_all());
    squares.reduce(|a, b| a + b).expect("a network has parameters").sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinflow_models::denoisers::{DataSpec, DitConfig, MlpConfig, ModelConfig, UnetConfig};

    #[test]
    fn biases_norms_and_class_embeddings_are_not_decayed() {
        let optimizer = Optimizer::new(OptimizerConfig { weight_decay: 0.1, ..OptimizerConfig::default() }, 1).unwrap();
        let data = DataSpec::labelled([8, 8, 1], 3);
        let dit = ModelConfig::Dit(DitConfig { qk_norm: true, ..DitConfig::default() });
        let unet = ModelConfig::Unet(UnetConfig { groups: 8, ..UnetConfig::default() });
        for model in [dit, unet, ModelConfig::Mlp(MlpConfig::default())] {
            for path in model.build(data).unwrap().parameters().paths() {
                let text = path.as_str();
                let spared = ["bias", "_norm/", "/norm/", "class_embedding"].iter().any(|part| text.contains(part));
                assert_eq!(optimizer.weight_decay(path), if spared { 0.0 } else { 0.1 }, "{path}");
            }
        }
    }

    #[test]
    fn a_pattern_that_means_nothing_is_refused() {
        let config = OptimizerConfig { no_decay: vec!["bias".into(), "blocks//norm".into()], ..Default::default() };
        let error = Optimizer::new(config, 1).unwrap_err().to_string();
        assert!(error.starts_with(r#"optimizer.no_decay = ["bias", "blocks//norm"] is not allowed"#), "{error}");
    }
}
