//! A network to sample from.

use twinflow_array::{DType, TensorType};
use twinflow_models::{
    denoisers::{DataSpec, ModelConfig},
    encoders::TextEncoderConfig,
};
use twinflow_nn::{ConfigError, Denoiser, Params};
use twinflow_training::Precision;

/// A denoiser with the data that it was built for and the precision of its products.
pub struct Model {
    denoiser: Box<dyn Denoiser>,
    data: DataSpec,
    precision: Precision,
}

impl Model {
    /// The model of these settings.
    ///
    /// # Errors
    /// [`ConfigError`] if a value is not allowed or does not fit the samples.
    pub fn new(
        config: &ModelConfig,
        encoder: &TextEncoderConfig,
        data: DataSpec,
        precision: Precision,
    ) -> Result<Self, ConfigError> {
        Ok(Model { denoiser: config.build_behind(encoder, data)?, data, precision })
    }

    pub fn denoiser(&self) -> &dyn Denoiser {
        self.denoiser.as_ref()
    }

    /// What its samples are.
    pub fn data(&self) -> DataSpec {
        self.data
    }

    /// Samples per program run: many small ones, few large ones. It depends on nothing that changes between calls, for
    /// the last bits of a sample may depend on the batch it is computed in.
    pub fn chunk_size(&self) -> usize {
        (65_536 / self.data.sample.iter().product::<usize>().max(1)).clamp(16, 1024)
    }

    /// Types of its parameters.
    pub fn parameter_spec(&self) -> Params<TensorType> {
        self.denoiser.parameters().spec()
    }

    /// The element type that its products are computed in, if not f32.
    pub fn compute(&self) -> Option<DType> {
        self.precision.compute()
    }
}
