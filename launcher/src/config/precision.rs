//! `train.precision`, which the device may decide.

use serde::{Deserialize, Serialize};
use twinflow_compiler::stablehlo::Products;
use twinflow_training::Precision;

/// `train.precision`: the element type of the network's products.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrecisionSetting {
    /// bf16 where the device multiplies it at its own rate: GPUs, processors with AVX512-BF16. f32 elsewhere, where bf16
    /// gains nothing. A run writes down what it took, so that all that follows from it takes the same.
    #[default]
    Auto,
    F32,
    Bf16,
}

impl PrecisionSetting {
    /// The precision on a device that makes products so.
    pub fn on(self, products: Products) -> Precision {
        match self {
            PrecisionSetting::Auto if products.native_bf16 => Precision::Bf16,
            PrecisionSetting::Bf16 => Precision::Bf16,
            PrecisionSetting::Auto | PrecisionSetting::F32 => Precision::F32,
        }
    }

    /// What was taken, and why; nothing where the settings name it.
    pub fn note(self, products: Products) -> Option<&'static str> {
        (self == PrecisionSetting::Auto).then_some(match products.native_bf16 {
            true => "products in bf16 (train.precision is \"auto\": every device here multiplies it faster than f32)",
            false => {
                "products in f32 (train.precision is \"auto\": bf16 gains nothing on a processor without AVX512-BF16)"
            }
        })
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
        let on = |native_bf16| [Auto, F32, Bf16].map(|setting| setting.on(Products { native_bf16 }));
        assert_eq!(on(true), [Precision::Bf16, Precision::F32, Precision::Bf16]);
        assert_eq!(on(false), [Precision::F32, Precision::F32, Precision::Bf16]);
        assert!(Auto.note(Products { native_bf16: false }).unwrap().contains("in f32"));
        assert_eq!(Bf16.note(Products::default()), None);
    }
}
