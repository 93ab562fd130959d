//! Settings together with what the data are: everything that computes is built from these.

use std::{ops::Deref, path::Path, sync::Arc};

use twinflow_array::DType;
use twinflow_compiler::stablehlo::Products;
use twinflow_data::{Bucket, Buckets, Source, TextShape};
use twinflow_models::{
    denoisers::{DataSpec, TextSpec},
    encoders::TokenSpec,
};
use twinflow_runtime::model::Model;
use twinflow_training::{Precision, StepConfig, Trainer};

use super::{Config, PrecisionSetting, SettingError};

/// A [`Config`] whose `[data]` says the sizes of the samples and whose `train.precision` is what the device makes best;
/// a run makes it once.
pub struct ResolvedConfig {
    config: Config,
    precision: Precision,
    precision_note: Option<&'static str>,
    image_dtype: DType,
}

impl Deref for ResolvedConfig {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.config
    }
}

impl ResolvedConfig {
    /// The settings with the sizes of the data that they name, which have been opened, for devices that make products so.
    pub fn new(mut config: Config, source: &dyn Source, products: Products) -> Self {
        let data = &mut config.data;
        [data.height, data.width, data.channels] = source.sample_shape();
        data.classes = source.classes();
        let text = source.text_shape();
        (data.text_tokens, data.text_vocabulary) = (text.tokens, text.vocabulary);
        (data.text_width, data.pooled_text_width) = (text.width, text.pooled);
        Self::with(config, source.image_type().dtype, products)
    }

    /// The settings in a checkpoint, which hold the sizes and the precision of its run already.
    pub fn of_checkpoint(config: Config, products: Products) -> Self {
        Self::with(config, DType::F32, products)
    }

    fn with(config: Config, image_dtype: DType, products: Products) -> Self {
        let mut resolved = ResolvedConfig { config, precision: Precision::F32, precision_note: None, image_dtype };
        // A network that cannot be built is refused where it is needed.
        let network = {
            let Config { model, text_encoder, .. } = &resolved.config;
            model.build_behind(text_encoder, resolved.data_spec())
        };
        let parameters = network.map_or(0, |network| network.parameters().spec().count());
        let train = &mut resolved.config.train;
        (resolved.precision, resolved.precision_note) = train.precision.on(products, parameters);
        train.precision = PrecisionSetting::from(resolved.precision);
        resolved
    }

    /// What "auto" took for `train.precision`, and why; nothing where the settings name it.
    pub fn precision_note(&self) -> Option<&'static str> {
        self.precision_note
    }

    /// The same with paths from the root: a run is resumed from any folder, so what it writes down must not depend on
    /// where it was started.
    pub fn with_absolute_paths(mut self) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        for path in [&mut self.config.data.path, &mut self.config.device.plugin] {
            *path = absolute(path);
        }
        let cache = &mut self.config.device.cache_dir;
        if !matches!(cache.as_str(), "" | "auto") {
            *cache = absolute(Path::new(cache)).to_string_lossy().into_owned();
        }
        self
    }

    /// The samples, classes and prompts that networks are built for.
    pub fn data_spec(&self) -> DataSpec {
        let TextShape { tokens, vocabulary, width, .. } = self.data.text_shape();
        let text = (width > 0).then_some(TextSpec { tokens, width });
        let tokens = (vocabulary > 0).then_some(TokenSpec { tokens, vocabulary });
        DataSpec { text, tokens, ..DataSpec::labelled(self.data.shape(), self.data.classes) }
    }

    /// Network, methods and optimizer for a world of `processes`.
    ///
    /// # Errors
    /// Values that do not fit each other, the dataset or the world.
    pub fn trainer(&self, processes: usize) -> Result<Trainer, SettingError> {
        let train = &self.train;
        let config = StepConfig {
            model: self.model.clone(),
            text_encoder: self.text_encoder.clone(),
            methods: self.methods(),
            optimizer: self.optimizer.clone(),
            freeze: train.freeze.clone(),
            steps: train.steps,
            batch_size: train.batch_size,
            micro_batches: train.micro_batches,
            precision: self.precision,
            ema_decay: train.ema_decay,
            processes,
            devices: self.device.devices,
            data: self.data_spec(),
            image_dtype: self.image_dtype,
        };
        Trainer::new(config).map_err(|error| self.refused(&error))
    }

    /// A trainer for each shape of samples, which differ in nothing else.
    ///
    /// # Errors
    /// As [`ResolvedConfig::trainer`].
    pub fn trainers(&self, processes: usize, buckets: &Buckets) -> Result<Arc<[Trainer]>, SettingError> {
        let trainer = self.trainer(processes)?;
        if buckets.all().len() == 1 {
            return Ok([trainer].into());
        }
        let of_bucket = |bucket: &Bucket| trainer.for_samples(bucket.shape).map_err(|error| self.refused(&error));
        buckets.all().iter().map(of_bucket).collect()
    }

    /// The network alone, to sample from.
    ///
    /// # Errors
    /// Values that do not fit each other or the samples.
    pub fn model(&self) -> Result<Model, SettingError> {
        Model::new(&self.model, &self.text_encoder, self.data_spec(), self.precision)
            .map_err(|error| self.refused(&error))
    }
}
