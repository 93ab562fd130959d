//! Errors of configuration.

/// A configuration that no model or training step can be built from. Keys are those of the TOML file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// A value outside what its key allows.
    #[error("{key} = {value} is not allowed: {allowed}")]
    Value {
        /// The key, with its section.
        key: &'static str,
        /// As found.
        value: String,
        /// What the key allows.
        allowed: &'static str,
    },
    /// A pattern of parameters' paths that matches none.
    #[error("{key}: the pattern '{pattern}' matches no parameter; this network's are {known}")]
    NoMatch {
        /// The key, with its section.
        key: &'static str,
        /// As written in the settings.
        pattern: String,
        /// Paths of the network.
        known: String,
    },
    /// A size that another size must divide.
    #[error("{key} = {value} must be a multiple of {divisor_key} = {divisor}")]
    NotMultiple {
        /// The key, with its section.
        key: &'static str,
        /// As found.
        value: usize,
        /// Key whose value must divide it.
        divisor_key: &'static str,
        /// The divisor's value.
        divisor: usize,
    },
    /// A network with weights for each pixel, and data of several shapes.
    #[error(
        "model.kind names a network whose parameters depend on the height and width of its samples, and the data have \
         several: take another kind, or import the pictures without --aspect-buckets"
    )]
    OneShape,
    /// Two settings that exclude each other.
    #[error("{first} and {second} exclude each other: {advice}")]
    Conflict {
        /// One key, with its section.
        first: &'static str,
        /// Key that excludes the first one.
        second: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// Fewer samples than batch parts that have a share.
    #[error(
        "train.batch_size = {batch} is too small: twinflow.shares names {parts} parts, each needs at least one sample; \
         raise the batch or set a share to 0"
    )]
    BatchTooSmall {
        /// Samples in the global batch.
        batch: usize,
        /// Parts with a share above zero.
        parts: usize,
    },
    /// A batch part that cannot be dealt out equally.
    #[error(
        "the {part} part of train.batch_size = {batch} has {size} samples, which cannot be dealt out equally to {shards} \
         shards (processes x devices x train.micro_batches); choose a batch_size whose parts are multiples of {shards}"
    )]
    PartNotDivisible {
        /// The part: e2e, mul, any or adv.
        part: &'static str,
        /// Its samples in the global batch.
        size: usize,
        /// Samples in the global batch.
        batch: usize,
        /// Processes x devices x micro-batches.
        shards: usize,
    },
}

/// `Ok` if `holds`, else [`ConfigError::Value`].
pub fn require(
    holds: bool,
    key: &'static str,
    value: impl std::fmt::Debug,
    allowed: &'static str,
) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::Value { key, value: format!("{value:?}"), allowed }) }
}

/// `Ok` if `divisor` divides `value`, else [`ConfigError::NotMultiple`].
pub fn require_multiple(
    key: &'static str,
    value: usize,
    divisor_key: &'static str,
    divisor: usize,
) -> Result<(), ConfigError> {
    if divisor > 0 && value.is_multiple_of(divisor) {
        Ok(())
    } else {
        Err(ConfigError::NotMultiple { key, value, divisor_key, divisor })
    }
}
