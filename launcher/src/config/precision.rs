//! `train.precision`, which the device may decide.

use serde::{Deserialize, Serialize};
use twinflow_compiler::stablehlo::Products;
use twinflow_training::Precision;

/// Parameters below which "auto" keeps f32: products are then so small that bf16 saves nothing (an MLP of width 32 takes
/// as long in either, one of width 128 and 0.3 million parameters 0.8 of the time), while rounding still costs digits.
const WORTH_ROUNDING: usize = 100_000;

/// `train.precision`: the element type of the network's products.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrecisionSetting {
    /// bf16 where the device multiplies it at its own rate: GPUs, processors with AVX512-BF16. f32 elsewhere, and for
    /// the smallest networks: there bf16 gains nothing. A run writes down what it took, so that all that follows from it
    /// takes the same.
    #[default]
    Auto,
    F32,
    Bf16,
}

impl PrecisionSetting {
    /// The precision of a network of so many parameters on a device that makes products so; with it what was taken and
    /// why, where the settings leave it open.
    pub fn on(self, products: Products, parameters: usize) -> (Precision, Option<&'static str>) {
        match self {
            PrecisionSetting::F32 => (Precision::F32, None),
            PrecisionSetting::Bf16 => (Precision::Bf16, None),
            PrecisionSetting::Auto if !products.native_bf16 => {
                let note = "products in f32 (train.precision is \"auto\": bf16 gains nothing on a processor without AVX512-BF16)";
                (Precision::F32, Some(note))
            }
            PrecisionSetting::Auto if parameters < WORTH_ROUNDING => {
                let note = "products in f32 (train.precision is \"auto\": bf16 gains nothing for so small a network)";
                (Precision::F32, Some(note))
            }
            PrecisionSetting::Auto => {
                let note =
                    "products in bf16 (train.precision is \"auto\": every device here multiplies it faster than f32)";
                (Precision::Bf16, Some(note))
            }
        }
    }
}

impl From<Precision> for PrecisionSetting {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => PrecisionSetting::F32,
            Precision::Bf16 => PrecisionSetting::Bf16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_bf16_where_it_pays_and_names_are_kept() {
        use PrecisionSetting::{Auto, Bf16, F32};
        let on = |native_bf16, size| {
            [Auto, F32, Bf16].map(|setting| setting.on(Products { native_bf16, ..Products::default() }, size).0)
        };
        assert_eq!(on(true, 1_000_000), [Precision::Bf16, Precision::F32, Precision::Bf16]);
        assert_eq!(on(false, 1_000_000), [Precision::F32, Precision::F32, Precision::Bf16]);
        assert_eq!(on(true, 10_000), [Precision::F32, Precision::F32, Precision::Bf16]);
        let note = |native_bf16, size| Auto.on(Products { native_bf16, ..Products::default() }, size).1.unwrap();
        assert!(note(false, 1_000_000).contains("without AVX512-BF16") && note(true, 10_000).contains("so small"));
        assert_eq!(Bf16.on(Products::default(), 10_000).1, None);
    }
}
