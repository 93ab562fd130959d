//! The StableHLO of every sample.

use twinflow_array::TensorType;
use twinflow_compiler::{
    ops::{Family, catalogue},
    stablehlo::{Products, lower},
    trace,
};

#[test]
fn stablehlo_of_every_family() {
    for family in catalogue() {
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(format!("stablehlo_{}", family.name), stablehlo(&family));
        });
    }
}

/// One module with all samples of the family, as they are lowered without any pass.
fn stablehlo(family: &Family) -> String {
    let traced = trace(|t| {
        for sample in &family.samples {
            let types: Vec<TensorType> = sample.operands.iter().map(|operand| operand.ty().clone()).collect();
            t.outputs("", &sample.apply(t, &t.inputs::<Vec<TensorType>>("", &types)));
        }
    });
    lower(&traced.unwrap_or_else(|error| panic!("{error}")).0, family.name, Products::default(), false)
}
