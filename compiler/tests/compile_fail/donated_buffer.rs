//! Donated buffers are moved: their memory belongs to the outputs.

use twinflow_compiler::{Jit, TensorType, pjrt::Buffer};

fn step(jit: &Jit<TensorType, TensorType, TensorType>, state: Buffer, batch: &Buffer) -> Buffer {
    let next = jit.call(state, batch);
    drop(next);
    state
}

fn main() {
    let _: fn(&Jit<TensorType, TensorType, TensorType>, Buffer, &Buffer) -> Buffer = step;
}
