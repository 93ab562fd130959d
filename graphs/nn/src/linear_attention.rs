//! Attention whose cost grows with the number of tokens, not with its square.

use twinflow_compiler::Tensor;

use crate::attention::heads_dot;

/// Keeps the quotient finite where a query meets no key.
const EPS: f64 = 1e-15;

/// ReLU linear attention (Katharopoulos et al. 2020; Cai et al. 2023) for each sample and head: token t gets
/// `sum_s w_ts v_s / (sum_s w_ts + 1e-15)`, `w_ts = relu(q_t) . relu(k_s)`, by way of `sum_s relu(k_s) v_s^T`. It has no
/// softmax that would bound the weights, so it multiplies in f32 whatever the trace computes in. q `[b, h, t, k]`, k and
/// v `[b, h, s, k]` -> `[b, h, t, k]`.
#[track_caller]
pub fn attend_linearly<'t>(q_bhtk: Tensor<'t>, k_bhsk: Tensor<'t>, v_bhsk: Tensor<'t>) -> Tensor<'t> {
    let (q_bhtk, k_bhsk) = (q_bhtk.relu(), k_bhsk.relu());
    q_bhtk.trace().compute_in(None, || {
        let memory_bhkv = k_bhsk.dot_general(v_bhsk, heads_dot([2], [2]));
        let numerator_bhtv = q_bhtk.dot_general(memory_bhkv, heads_dot([3], [2]));
        let denominator_bht1 = (q_bhtk * k_bhsk.sum_keep(&[2])).sum_keep(&[3]);
        numerator_bhtv / (denominator_bht1 + EPS)
    })
}
