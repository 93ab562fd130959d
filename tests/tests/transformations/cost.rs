//! Counts of operations and bytes against arithmetic by hand.

use twinflow_array::{DType, TensorType};
use twinflow_compiler::{ConvConfig, Cost, Key, Program, ProgramCost, Tensor, jit, remat, scan, while_loop};
use twinflow_methods::flow::{SampleConfig, draw_samples};
use twinflow_models::denoisers::{DitConfig, ModelConfig, Remat};
use twinflow_nn::Condition;
use twinflow_tests::{
    gradients::{gradient_program, traced},
    trainers::dit_step,
};
use twinflow_training::{Metrics, State, Trainer};

use crate::f64s;

/// Height, width and channels.
const SAMPLE: [usize; 3] = [16, 16, 3];

fn total(program: &Program) -> Cost {
    program.cost().total()
}

/// A layer of width 4 on 2 rows.
fn layer<'t>(x: Tensor<'t>, weight: Tensor<'t>) -> Tensor<'t> {
    x.matmul(weight).tanh()
}

#[test]
fn a_layer_counts_two_per_product_and_one_per_element() {
    let types = [f64s(&[2, 3]), f64s(&[3, 4]), f64s(&[4])];
    let cost = total(&traced(&types, |x| vec![(x[0].matmul(x[1]) + x[2]).tanh()]));
    assert_eq!((cost.product_flops, cost.flops), (2 * 2 * 3 * 4, 2 * 2 * 3 * 4 + 8 + 8));
    // The product, the bias repeated for each row, the sum, the function.
    assert_eq!(cost.bytes, 8 * ((6 + 12 + 8) + (4 + 8) + 3 * 8 + 2 * 8));
}

#[test]
fn steps_of_a_loop_count_as_often_as_they_run() {
    let one = total(&traced(&[f64s(&[2, 4]), f64s(&[4, 4])], |x| vec![layer(x[0], x[1])]));
    let looped = traced(&[f64s(&[2, 4]), f64s(&[5, 4, 4])], |x| {
        vec![scan(&x[0], &x[1], |x, weight| (layer(x, weight), None::<Tensor<'_>>)).0]
    });
    let cost = total(&looped);
    assert_eq!((cost.flops, cost.product_flops), (5 * one.flops, 5 * one.product_flops));
    assert_eq!(cost.bytes, 5 * (one.bytes + 2 * 8 * 16), "each step also cuts its weight out of the stack");

    let open = traced(&[f64s(&[2, 4]), f64s(&[4, 4])], |x| {
        vec![while_loop(&x[0], |x| x.sum_all().lt(0.0), |y| layer(y, x[1]))]
    });
    assert_eq!((open.cost().open_loops, total(&open).product_flops), (1, one.product_flops));
    assert_eq!(looped.cost().open_loops, 0);
}

/// Products of the gradients of a loop of five layers, for input and weights, in those of one layer.
fn products_of_gradients(rematerialise: bool) -> u64 {
    let types = [f64s(&[2, 4]), f64s(&[5, 4, 4])];
    let gradients = gradient_program(&types, |x| {
        let looped = scan(&x[0], &x[1], |x, weight| {
            let y = if rematerialise { remat(&(x, weight), |(x, w)| layer(x, w)) } else { layer(x, weight) };
            (y, None::<Tensor<'_>>)
        });
        looped.0.sum_all()
    });
    total(&gradients).product_flops / (2 * 2 * 4 * 4)
}

#[test]
fn a_gradient_takes_two_products_for_each_and_remat_one_more() {
    assert_eq!(products_of_gradients(false), 5 * (1 + 2));
    assert_eq!(products_of_gradients(true), 5 * (1 + 1 + 2));
}

#[test]
fn convolutions_count_where_kernel_and_input_meet() {
    let types = [f64s(&[2, 5, 5, 3]), f64s(&[3, 3, 3, 4])];
    let config = || ConvConfig::new(2).with_padding(1).with_stride(2);
    // Three places along each dim: the middle one sees three elements, those at the edges two.
    let once = 2 * (2 * 3 * 4) * (7 * 7);
    assert_eq!(total(&traced(&types, |x| vec![x[0].conv(x[1], config())])).product_flops, once);
    let gradient = gradient_program(&types, |x| x[0].conv(x[1], config()).square().sum_all());
    assert_eq!(total(&gradient).product_flops, 3 * once);
}

// The DiT that is counted: batch, tokens, width, depth, elements of a patch.
const B: u64 = 4;
const T: u64 = 16;
const D: u64 = 32;
const L: u64 = 3;
const P: u64 = 48;

fn dit(remat: Remat) -> Trainer {
    let dit = DitConfig { width: D as usize, heads: 4, patch: 4, depth: L as usize, remat, ..DitConfig::default() };
    Trainer::new(dit_step(ModelConfig::Dit(dit), SAMPLE, B as usize)).unwrap()
}

/// Products of an `[m, k]` and a `[k, n]` matrix.
fn matmul(m: u64, k: u64, n: u64) -> u64 {
    2 * m * k * n
}

/// Products of a block's parts: modulation, attention, feed-forward.
fn block() -> [u64; 3] {
    let heads = 2 * matmul(B * T, D, T);
    let attention = matmul(B * T, D, 3 * D) + heads + matmul(B * T, D, D);
    [matmul(B, D, 6 * D), attention, 2 * matmul(B * T, D, 4 * D)]
}

/// Products of the patch embedding and of the time embeddings' first layers: those of what has no gradient.
fn first_layers() -> u64 {
    matmul(B * T, P, D) + 2 * matmul(B, 256, D)
}

/// Products of one call of the network.
fn network_call() -> u64 {
    let last = matmul(B, D, 2 * D) + matmul(B * T, D, P);
    first_layers() + 2 * matmul(B, D, D) + L * block().iter().sum::<u64>() + last
}

#[test]
fn a_dits_samples_cost_a_network_call_each() {
    let trainer = dit(Remat::None);
    let sample = |nfe| {
        let numbers = |dtype| TensorType::new(dtype, [B as usize]);
        let inputs = vec![numbers(DType::I32), numbers(DType::U32), TensorType::new(DType::U32, [2])];
        let config = SampleConfig { nfe, ..SampleConfig::default() };
        let traced = jit::<_, _, TensorType>("sample", inputs, trainer.parameter_spec(), |_, inputs, params| {
            let condition = Condition::of_labels(inputs[0]);
            let random = (Key::from_tensor(inputs[2]), inputs[1]);
            draw_samples(trainer.denoiser(), &config, &params, &SAMPLE.into(), &condition.into(), random)
        });
        total(traced.unwrap().program()).product_flops
    };
    assert_eq!((sample(1), sample(5)), (network_call(), 5 * network_call()));
}

#[test]
fn a_dits_step_costs_its_passes_by_module() {
    let products = |remat: Remat| {
        let trainer = dit(remat);
        type Stepped = (State<TensorType>, Metrics<TensorType>);
        let traced = jit::<_, _, Stepped>("step", trainer.state_spec(), trainer.batch_spec(), |_, state, batch| {
            trainer.step(0, state, &batch)
        });
        traced.unwrap().program().cost()
    };
    let blocks = |passes: u64| block().map(|part| L * passes * part);
    let of_scopes = |cost: &ProgramCost| {
        ["modulation", "attention", "mlp"].map(|name| cost.scopes[&format!("blocks/{name}")].product_flops)
    };

    let plain = products(Remat::None);
    assert_eq!(of_scopes(&plain), blocks(3));
    assert_eq!(plain.total().product_flops, 3 * network_call() - first_layers());

    let again = products(Remat::Blocks);
    assert_eq!(of_scopes(&again), blocks(4));
    assert_eq!(again.total().product_flops - plain.total().product_flops, blocks(1).iter().sum::<u64>());
    assert_eq!(plain.scopes["update"], again.scopes["update"]);
}
