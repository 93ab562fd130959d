//! The sampler's settings for a number of calls.

use twinflow_graphs::flow::{SampleConfig, SampleStyle};

/// The settings that the method's authors use for a number of calls: up to 2 `few`, up to 8 `any`, above `mul`.
pub fn sampling(nfe: usize) -> SampleConfig {
    let config = |style| SampleConfig { nfe, style, ..SampleConfig::default() };
    match nfe {
        0..=2 => SampleConfig { stochastic_ratio: 1.0, gaps: [0.001, 0.6], ..config(SampleStyle::Few) },
        3..=8 => SampleConfig { gaps: [0.001, 0.5], ..config(SampleStyle::Any) },
        _ => SampleConfig { gaps: [0.001, 0.0], time_transform: [1.17, 0.8, 1.1], ..config(SampleStyle::Mul) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_style_follows_the_number_of_calls() {
        let styles = [1, 2, 4, 8, 9, 30].map(|nfe| sampling(nfe).style);
        use SampleStyle::{Any, Few, Mul};
        assert_eq!(styles, [Few, Few, Any, Any, Mul, Mul]);
        (1..40).for_each(|nfe| sampling(nfe).validate().unwrap());
    }
}
