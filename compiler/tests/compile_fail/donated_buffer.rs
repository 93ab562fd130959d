//! Donated buffers are moved: their memory belongs to the outputs.

use twinflow_compiler::{Jit, Spec, pjrt::Buffer};

fn step(jit: &Jit<Spec, Spec, Spec>, state: Buffer, batch: &Buffer) -> Buffer {
    let next = jit.call(state, batch);
    drop(next);
    state
}

fn main() {
    let _: fn(&Jit<Spec, Spec, Spec>, Buffer, &Buffer) -> Buffer = step;
}
