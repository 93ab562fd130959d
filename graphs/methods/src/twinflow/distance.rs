//! Distances of a prediction from its target.

use twinflow_compiler::Tensor;

use crate::twinflow::{LossKind, TwinFlowConfig};

/// Width of the quadratic region of the Barron loss.
const BARRON_SCALE: f64 = 1e-3;

/// A distance of a prediction from its target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distance {
    /// Mean square.
    L2,
    /// Mean square, reweighted per sample by the slope of Barron's general robust loss (Barron 2019).
    Barron {
        /// Shape, below 2.
        alpha: f64,
    },
}

impl TwinFlowConfig {
    /// The distance that `loss` and `barron_alpha` name.
    pub fn distance(&self) -> Distance {
        match self.loss {
            LossKind::L2 => Distance::L2,
            LossKind::Barron => Distance::Barron { alpha: self.barron_alpha },
        }
    }
}

impl Distance {
    /// The distance of each sample, `[b]`, from tensors `[b, ..]`.
    #[track_caller]
    pub fn per_sample<'t>(self, prediction: Tensor<'t>, target: Tensor<'t>) -> Tensor<'t> {
        let dims: Vec<isize> = (1..prediction.rank() as isize).collect();
        let mse = (prediction - target).square().mean(&dims);
        match self {
            Distance::L2 => mse,
            Distance::Barron { alpha } => {
                let scaled = mse / ((BARRON_SCALE * BARRON_SCALE + 1e-8) * (alpha - 2.0).abs());
                mse * (scaled + 1.0).powf((alpha - 2.0) / 2.0).stop_gradient() / BARRON_SCALE
            }
        }
    }
}
