//! Products in a narrower type than their operands', in the way that a plugin does well.

use std::env;

use twinflow_array::{DType, TensorType};
use twinflow_pjrt::{Client, Platform};

use super::{Block, Value};

/// How products are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Products {
    /// Whether the plugin multiplies bf16 at bf16's rate. Where it does not, bf16 products are written as f32 products of
    /// the rounded operands: the same numbers, at f32's speed.
    pub native_bf16: bool,
    /// Whether XLA's CPU code is to run them, for which convolutions channel by channel and sums over rows are written
    /// in another way.
    pub for_cpu: bool,
}

impl Default for Products {
    fn default() -> Self {
        Products { native_bf16: true, for_cpu: true }
    }
}

impl Products {
    /// For a client's devices. XLA:CPU has kernels for bf16 where the processor has AVX512-BF16 and XLA may use it;
    /// elsewhere it widens operands one by one, or fails when the program runs.
    pub fn of(client: &Client) -> Self {
        let is_cpu = client.plugin().platform() == Platform::Cpu;
        let native_bf16 = !is_cpu || (processor_has_bf16() && flags_allow_bf16(&xla_flags()));
        Products { native_bf16, for_cpu: is_cpu }
    }
}

#[cfg(target_arch = "x86_64")]
fn processor_has_bf16() -> bool {
    std::arch::is_x86_feature_detected!("avx512bf16")
}

#[cfg(not(target_arch = "x86_64"))]
fn processor_has_bf16() -> bool {
    false
}

fn xla_flags() -> String {
    env::var("XLA_FLAGS").unwrap_or_default()
}

/// `xla_cpu_max_isa` makes XLA pass over what the processor has.
fn flags_allow_bf16(flags: &str) -> bool {
    let limit =
        flags.split_whitespace().rev().find_map(|flag| flag.trim_start_matches('-').strip_prefix("xla_cpu_max_isa="));
    limit.is_none_or(|isa| ["AVX512_BF16", "AMX", "AMX_FP16"].contains(&isa))
}

impl Block {
    /// A product of two operands rounded to `compute` (`None`: as they are), with a result of type `ty`: `write` writes
    /// it for operands and a result of the types that it is best done in.
    pub fn product(
        &mut self,
        operands: [Value; 2],
        compute: Option<DType>,
        ty: &TensorType,
        write: impl FnOnce([Value; 2], &TensorType, &mut Block) -> Value,
    ) -> Value {
        let compute = compute.unwrap_or(ty.dtype);
        let rounded = operands.map(|operand| self.convert(&operand, compute));
        if compute != DType::BF16 || self.products().native_bf16 {
            return write(rounded, ty, self);
        }
        let wide = rounded.map(|operand| self.convert(&operand, DType::F32));
        let result = write(wide, &ty.with_dtype(DType::F32), self);
        self.convert(&result, ty.dtype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_on_instructions_is_respected() {
        assert!(flags_allow_bf16("") && flags_allow_bf16("--xla_dump_to=x --xla_cpu_max_isa=AMX"));
        assert!(!flags_allow_bf16("--xla_cpu_max_isa=AMX --xla_cpu_max_isa=AVX2"));
    }
}
