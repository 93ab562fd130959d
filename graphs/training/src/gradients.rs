//! Gradients of a batch.

use twinflow_array::{DType, Place, TensorType, Tree, leaves, map, unflatten};
use twinflow_compiler::{Key, Tensor, concatenate, scan, value_and_grad};
use twinflow_methods::{LossInputs, Method};
use twinflow_nn::{Condition, Params};

use crate::{Batch, State, Trainer};

/// Gradients of the trained parameters, the loss and its terms; all means over samples. Their means over devices and
/// processes are what an update takes.
#[derive(Clone, Debug, Tree)]
pub struct Gradients<L> {
    /// By parameter.
    pub params: Params<L>,
    /// Mean over micro-batches and devices, f32 scalar.
    pub loss: L,
    /// Its terms, by name.
    pub terms: Params<L>,
}

/// A micro-batch, and what all micro-batches of a step share.
struct MicroBatch<'t> {
    images: Tensor<'t>,
    condition: Condition<Tensor<'t>>,
    null_condition: Condition<Tensor<'t>>,
    rows: Tensor<'t>,
    key: Key<'t>,
}

/// Bytes of gradients that one collective reduces: small parameters share one, large ones have their own.
const BUCKET: usize = 4 << 20;

impl Trainer {
    /// Types of the gradients of a phase.
    pub fn gradients_spec(&self, phase: usize) -> Gradients<TensorType> {
        let terms = self.method(phase).terms().iter().map(|name| (Place::new(name), TensorType::f32([])));
        Gradients { params: self.trained_spec(), loss: TensorType::f32([]), terms: Params::from_pairs(terms) }
    }

    /// Gradients of one process's batch; with several devices, averaged over them. Donates nothing.
    pub fn gradients<'t>(
        &self,
        phase: usize,
        state: &State<Tensor<'t>>,
        batch: &Batch<Tensor<'t>>,
    ) -> Gradients<Tensor<'t>> {
        all_reduce_mean(self.device_gradients(phase, state, batch), self.devices())
    }

    /// Gradients over the micro-batches of one device.
    fn device_gradients<'t>(
        &self,
        phase: usize,
        state: &State<Tensor<'t>>,
        batch: &Batch<Tensor<'t>>,
    ) -> Gradients<Tensor<'t>> {
        let key = Key::from_tensor(state.key).fold_in(state.step);
        let per_micro_batch = (batch.images, batch.condition.clone(), batch.rows);
        let of = |(images, condition, rows): (Tensor<'t>, Condition<Tensor<'t>>, Tensor<'t>)| {
            let null_condition = map(&batch.null_condition, |_, null| repeat(*null, rows.dim(0)));
            let micro_batch = MicroBatch { images: self.unit_range(images), condition, null_condition, rows, key };
            self.micro_batch_gradients(phase, state, &micro_batch)
        };
        let count = batch.rows.dim(0);
        if count == 1 {
            return of(map(&per_micro_batch, |_, leaf| leaf.squeeze(0)));
        }
        let zeros = map(&self.gradients_spec(phase), |_, ty| state.step.trace().full(ty.clone(), 0.0));
        let (sum, _) = scan(&zeros, &per_micro_batch, |sum: Gradients<Tensor<'t>>, micro_batch| {
            (add(&sum, &of(micro_batch)), None::<Tensor<'t>>)
        });
        map(&sum, |_, leaf| *leaf * (1.0 / count as f64))
    }

    fn micro_batch_gradients<'t>(
        &self,
        phase: usize,
        state: &State<Tensor<'t>>,
        batch: &MicroBatch<'t>,
    ) -> Gradients<Tensor<'t>> {
        let method: &dyn Method = self.method(phase);
        let (own, trained_spec) = (self.method_state(phase, &state.method), self.trained_spec());
        let ((loss, terms), params) = value_and_grad(&state.trained, |trained: Params<Tensor<'t>>| {
            let inputs = LossInputs {
                denoiser: self.denoiser(),
                params: &self.all_params(&trained, &state.frozen),
                trained: &trained_spec,
                state: &own,
                samples: batch.images,
                condition: &batch.condition,
                null_condition: &batch.null_condition,
                rows: batch.rows,
                key: batch.key,
            };
            let loss = batch.images.trace().compute_in(self.compute(), || method.loss(&inputs));
            (loss.total, loss.terms)
        });
        let named = method.terms().iter().map(Place::new).zip(terms);
        Gradients { params, loss, terms: Params::from_pairs(named) }
    }

    /// Pixels to [-1, 1]: bytes by 0 and 255, floats by the dataset's value range.
    fn unit_range<'t>(&self, images: Tensor<'t>) -> Tensor<'t> {
        match images.dtype() {
            DType::U8 => images.convert(DType::F32) * (1.0 / 127.5) - 1.0,
            _ => images,
        }
    }
}

/// The only row of `[1, ..]`, `count` times.
fn repeat<'t>(x: Tensor<'t>, count: usize) -> Tensor<'t> {
    let shape = x.shape();
    x.broadcast_to([&[count], &shape[1..]].concat())
}

fn add<'t>(a: &Gradients<Tensor<'t>>, b: &Gradients<Tensor<'t>>) -> Gradients<Tensor<'t>> {
    let mut others = leaves(b).into_iter();
    map(a, |_, leaf| *leaf + *others.next().expect("both have one structure"))
}

/// The mean over devices, bucket by bucket.
fn all_reduce_mean<'t>(gradients: Gradients<Tensor<'t>>, devices: usize) -> Gradients<Tensor<'t>> {
    if devices == 1 {
        return gradients;
    }
    let mut reduced = Vec::new();
    for bucket in buckets(&leaves(&gradients)) {
        let flat: Vec<_> = bucket.iter().map(|leaf| leaf.reshape([leaf.shape().elements()])).collect();
        let mean = if flat.len() == 1 { flat[0] } else { concatenate(&flat, 0) }.all_reduce_mean(devices);
        let mut start = 0;
        reduced.extend(bucket.iter().map(|leaf| {
            let first = start;
            start += leaf.shape().elements();
            mean.slice_dim(0, first, start).reshape(leaf.shape())
        }));
    }
    unflatten(&gradients, reduced)
}

/// Neighbours of together at most a bucket's size; what is larger stands alone.
fn buckets<'t>(leaves: &[&Tensor<'t>]) -> Vec<Vec<Tensor<'t>>> {
    let mut buckets: Vec<Vec<Tensor<'t>>> = Vec::new();
    let mut filled = usize::MAX;
    for leaf in leaves {
        let bytes = leaf.ty().bytes();
        match buckets.last_mut().filter(|_| filled.saturating_add(bytes) <= BUCKET) {
            Some(bucket) => bucket.push(**leaf),
            None => {
                buckets.push(vec![**leaf]);
                filled = 0;
            }
        }
        filled += bytes;
    }
    buckets
}
