//! Forward mode through a scan: the tangents ride along as more carries, xs and constants.

use std::sync::Arc;

use super::{Scan, activity::positions};
use crate::{
    autodiff::pushforward,
    program::Program,
    trace::{Tensor, trace},
};

impl Scan {
    pub(super) fn forward_rule<'t>(
        &self,
        x: &[Tensor<'t>],
        y: &[Tensor<'t>],
        x_dot: &[Option<Tensor<'t>>],
    ) -> Vec<Option<Tensor<'t>>> {
        let mask: Vec<bool> = x_dot.iter().map(Option::is_some).collect();
        let active = self.active_inputs(&mask);
        let active_y = positions(&self.active_results(&active));
        let body = self.tangent_body(&active, &active_y);
        let kind = |range: std::ops::Range<usize>| -> Vec<Tensor<'t>> {
            let primal = x[range.clone()].iter().copied();
            let dots = range.filter(|&i| active[i]).map(|i| x_dot[i].unwrap_or_else(|| x[i].zeros_like()));
            primal.chain(dots).collect()
        };
        let carries = kind(0..self.carries);
        let xs = kind(self.carries..self.carries + self.xs);
        let constants = kind(self.carries + self.xs..x.len());
        let tangent_scan =
            Scan { body: Arc::new(body), carries: carries.len(), xs: xs.len(), reverse_rule: None, ..self.clone() };
        let results = tangent_scan.apply(x[0].trace(), &[carries, xs, constants].concat());
        // Results: carries, their tangents, ys, their tangents.
        let mut y_dot = vec![None; y.len()];
        for (k, &i) in active_y.iter().enumerate() {
            y_dot[i] = Some(results[if i < self.carries { self.carries + k } else { y.len() + k }]);
        }
        y_dot
    }

    /// The body with tangents: each kind of input and output is followed by its active members' tangents.
    fn tangent_body(&self, active: &[bool], active_y: &[usize]) -> Program {
        let types = self.body.input_types();
        let ranges = [0..self.carries, self.carries..self.carries + self.xs, self.carries + self.xs..types.len()];
        let with_dots: Vec<usize> =
            ranges.iter().flat_map(|range| range.clone().chain(range.clone().filter(|&i| active[i]))).collect();
        let input_types: Vec<_> = with_dots.iter().map(|&i| types[i].clone()).collect();
        let traced = trace(|t| {
            let inputs: Vec<Tensor<'_>> = t.inputs("", &input_types);
            let (mut primal, mut dots) = (vec![None; types.len()], vec![None; types.len()]);
            for (&i, &input) in with_dots.iter().zip(&inputs) {
                let slot = if primal[i].is_none() { &mut primal[i] } else { &mut dots[i] };
                *slot = Some(input);
            }
            let primal: Vec<Tensor<'_>> = primal.into_iter().flatten().collect();
            let begin = t.mark();
            let outputs = self.body.replay(t, &primal);
            let sources: Vec<_> = primal.into_iter().zip(dots).collect();
            let found = pushforward(t, begin, t.mark(), &sources, &outputs);
            let dot = |i: usize| found[i].unwrap_or_else(|| outputs[i].zeros_like());
            let (carries, ys): (Vec<usize>, Vec<usize>) = active_y.iter().partition(|&&i| i < self.carries);
            let all = [
                outputs[..self.carries].to_vec(),
                carries.into_iter().map(dot).collect(),
                outputs[self.carries..].to_vec(),
                ys.into_iter().map(dot).collect(),
            ];
            t.outputs("", &all.concat());
        });
        super::reverse_rule::body_of(traced.map(|(program, _)| program))
    }
}
