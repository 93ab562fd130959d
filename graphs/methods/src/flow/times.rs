//! The times at which the sampler calls the network.

use crate::flow::{SampleConfig, SampleStyle};

/// One step of the sampler, from `t` to `next`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleStep {
    /// Where the step starts.
    pub t: f64,
    /// Where it ends.
    pub next: f64,
    /// The target time that the network is told.
    pub r: f64,
}

/// The sampler's steps: one network call each, or two with `second_order`.
pub fn sample_steps(config: &SampleConfig) -> Vec<SampleStep> {
    let steps = if config.second_order { config.nfe / 2 } else { config.nfe };
    let grid = grid(steps, config.gaps);
    let transformed = grid.iter().map(|s| 1.0 - kumaraswamy(*s, config.time_transform));
    let mut times: Vec<f64> = transformed.map(|t| shifted(t, config.shift)).collect();
    end_at(&mut times, config.terminal);
    times.push(0.0);
    let target = |t: f64, next: f64| match config.style {
        SampleStyle::Few => 0.0,
        SampleStyle::Any => next,
        SampleStyle::Mul => t,
    };
    times.windows(2).map(|pair| SampleStep { t: pair[0], next: pair[1], r: target(pair[0], pair[1]) }).collect()
}

/// `s t / (1 + (s - 1) t)`, which is `e^mu / (e^mu + (1 / t - 1))` for `s = e^mu`.
fn shifted(t: f64, s: f64) -> f64 {
    s * t / (1.0 + (s - 1.0) * t)
}

/// Stretches times, measured from 1, so that the last is `terminal`. A single time at 1 has nothing to stretch (published
/// schedulers make it NaN).
fn end_at(times: &mut [f64], terminal: f64) {
    let length = 1.0 - times.last().copied().unwrap_or(1.0);
    if terminal > 0.0 && length > 0.0 {
        times.iter_mut().for_each(|t| *t = 1.0 - (1.0 - *t) / length * (1.0 - terminal));
    }
}

/// `n` evenly spaced points from `gaps[0]` to `1 - gaps[1]`; without a second gap the point at 1 is left out, since the
/// last step ends there.
fn grid(n: usize, [first, last]: [f64; 2]) -> Vec<f64> {
    let intervals = if last == 0.0 { n } else { n - 1 };
    let width = 1.0 - last - first;
    (0..n).map(|i| if i == 0 { first } else { first + width * i as f64 / intervals as f64 }).collect()
}

/// `(1 - (1 - s^a)^b)^c`: for c = 1 the distribution function of Kumaraswamy (1980).
fn kumaraswamy(s: f64, [a, b, c]: [f64; 3]) -> f64 {
    (1.0 - (1.0 - s.powf(a)).powf(b)).powf(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_goes_from_noise_to_data() {
        assert_eq!(sample_steps(&SampleConfig::default()), [SampleStep { t: 1.0, next: 0.0, r: 0.0 }]);
    }

    #[test]
    fn gaps_keep_away_from_both_ends() {
        let config = SampleConfig { nfe: 3, gaps: [0.1, 0.5], style: SampleStyle::Any, ..Default::default() };
        let times: Vec<f64> = sample_steps(&config).iter().map(|step| step.t).collect();
        for (time, expected) in times.iter().zip([0.9, 0.7, 0.5]) {
            assert!((time - expected).abs() < 1e-12, "{times:?}");
        }
        assert!(sample_steps(&config).iter().all(|step| step.r == step.next));
    }

    fn times_of(config: &SampleConfig) -> Vec<f64> {
        sample_steps(config).iter().map(|step| step.t).collect()
    }

    fn assert_close(found: &[f64], expected: &[f64]) {
        let close = found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close, "{found:?}, not {expected:?}");
    }

    #[test]
    fn shifts_are_those_of_the_published_schedulers() {
        let config = SampleConfig { nfe: 4, shift: 3.0, ..Default::default() };
        assert_close(&times_of(&config), &[1.0, 0.9, 0.75, 0.5]);
        let dynamic = Some(crate::flow::DynamicShift::default());
        let config = SampleConfig { nfe: 4, terminal: 0.02, dynamic_shift: dynamic, ..Default::default() };
        // 4096 tokens: mu = 0.5 + 0.4 * 3840 / 7936 = 0.693548, e^mu = 2.000803.
        let of_picture = config.for_tokens(4096);
        assert_close(&[of_picture.shift], &[2.000_803]);
        assert_close(&times_of(&of_picture), &[1.0, 0.766_709, 0.455_614, 0.02]);
        assert_close(&times_of(&SampleConfig { nfe: 1, ..of_picture }), &[1.0]);
    }

    #[test]
    fn kumaraswamy_is_the_identity_at_one_and_monotone() {
        for i in 0..=10 {
            let s = f64::from(i) / 10.0;
            assert!((kumaraswamy(s, [1.0, 1.0, 1.0]) - s).abs() < 1e-15);
            assert!((kumaraswamy(s, [2.0, 1.0, 0.5]) - s).abs() < 1e-12, "(s^2)^(1/2)");
            assert!((kumaraswamy(s, [1.0, 2.0, 1.0]) - s * (2.0 - s)).abs() < 1e-12);
        }
        let transformed: Vec<f64> = (0..=100).map(|i| kumaraswamy(f64::from(i) / 100.0, [1.17, 0.8, 1.1])).collect();
        assert!(transformed.is_sorted() && transformed[0] == 0.0 && transformed[100] == 1.0);
    }
}
