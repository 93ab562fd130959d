//! How others lay out a layer's weight.

use std::fmt;

use bytemuck::Pod;
use ndarray::{ArrayView, ArrayViewMut, Axis, IxDyn};

use crate::{ArrayError, HostArray, TensorType};

/// How PyTorch, and the files of programs built on it, hold a weight whose dims here end in `.., in, out`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Layout {
    /// As here.
    #[default]
    Same,
    /// `[in, out]` here, `[out, in]` there.
    Linear,
    /// `[kernel.., in, out]` here, `[out, in, kernel..]` there.
    Conv,
    /// `[kernel.., in, out]` here, `[in, out, kernel..]` with the kernel reversed there.
    ConvTranspose,
}

impl Layout {
    /// The type that the others hold.
    ///
    /// # Errors
    /// [`ArrayError::Layout`] if the type has too few or too many dims.
    pub fn external_type(self, ty: &TensorType) -> Result<TensorType, ArrayError> {
        let order = self.order(ty)?;
        Ok(ty.with_shape(order.iter().map(|&dim| ty.shape[dim]).collect::<Vec<_>>()))
    }

    /// The array as the others hold it, exactly.
    ///
    /// # Errors
    /// As [`Layout::external_type`].
    pub fn to_external(self, array: &HostArray) -> Result<HostArray, ArrayError> {
        let order = self.order(array.ty())?;
        let kernel: Vec<usize> = if self == Layout::ConvTranspose { (2..order.len()).collect() } else { Vec::new() };
        Ok(rearranged(array, &order, &kernel))
    }

    /// The others' array as it is held here, exactly.
    ///
    /// # Errors
    /// As [`Layout::external_type`].
    pub fn from_external(self, array: &HostArray) -> Result<HostArray, ArrayError> {
        let order = self.order(array.ty())?;
        let mut back = vec![0; order.len()];
        order.iter().enumerate().for_each(|(there, &here)| back[here] = there);
        let kernel: Vec<usize> =
            if self == Layout::ConvTranspose { (0..order.len() - 2).collect() } else { Vec::new() };
        Ok(rearranged(array, &back, &kernel))
    }

    /// The dims here in the others' order.
    fn order(self, ty: &TensorType) -> Result<Vec<usize>, ArrayError> {
        let rank = ty.shape.rank();
        let (input, output) = (rank.wrapping_sub(2), rank.wrapping_sub(1));
        match self {
            Layout::Same => Ok((0..rank).collect()),
            Layout::Linear if rank == 2 => Ok(vec![output, input]),
            Layout::Conv if rank > 2 => Ok([output, input].into_iter().chain(0..input).collect()),
            Layout::ConvTranspose if rank > 2 => Ok([input, output].into_iter().chain(0..input).collect()),
            _ => Err(ArrayError::Layout { layout: self, ty: ty.clone() }),
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layout::Same => "any array",
            Layout::Linear => "a linear weight [in, out]",
            Layout::Conv | Layout::ConvTranspose => "a convolution kernel [.., in, out]",
        })
    }
}

/// Dim k of the result is dim `order[k]` of the array; then the dims `reversed` of the result run backwards.
fn rearranged(array: &HostArray, order: &[usize], reversed: &[usize]) -> HostArray {
    fn fill<T: Pod>(array: &HostArray, order: &[usize], reversed: &[usize], out: &mut HostArray) {
        let shape = IxDyn(out.shape());
        let from = ArrayView::from_shape(IxDyn(array.shape()), bytemuck::cast_slice::<u8, T>(array.bytes()));
        let mut from = from.expect("the bytes fill the shape").permuted_axes(order);
        reversed.iter().for_each(|&dim| from.invert_axis(Axis(dim)));
        let to = ArrayViewMut::from_shape(shape, bytemuck::cast_slice_mut::<u8, T>(out.bytes_mut()));
        to.expect("the bytes fill the shape").assign(&from);
    }
    let shape: Vec<usize> = order.iter().map(|&dim| array.shape()[dim]).collect();
    let mut out = HostArray::zeros(array.ty().with_shape(shape));
    // Only the size of an element matters.
    match array.dtype().size() {
        1 => fill::<u8>(array, order, reversed, &mut out),
        2 => fill::<u16>(array, order, reversed, &mut out),
        4 => fill::<u32>(array, order, reversed, &mut out),
        _ => fill::<u64>(array, order, reversed, &mut out),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    fn counted(shape: &[usize]) -> HostArray {
        let elements = shape.iter().product::<usize>() as i32;
        HostArray::from_slice(shape, &(0..elements).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn weights_are_held_as_pytorch_holds_them() {
        let external = |layout: Layout, shape: &[usize]| {
            let there = layout.to_external(&counted(shape)).unwrap();
            assert_eq!(layout.external_type(counted(shape).ty()).unwrap(), *there.ty());
            (there.shape().to_vec(), there.as_slice::<i32>().unwrap().to_vec())
        };
        assert_eq!(external(Layout::Linear, &[2, 3]), (vec![3, 2], vec![0, 3, 1, 4, 2, 5]));
        // A kernel of 2 with 1 channel in and 3 out.
        assert_eq!(external(Layout::Conv, &[2, 1, 3]), (vec![3, 1, 2], vec![0, 3, 1, 4, 2, 5]));
        assert_eq!(external(Layout::ConvTranspose, &[2, 1, 3]), (vec![1, 3, 2], vec![3, 0, 4, 1, 5, 2]));
    }

    #[test]
    fn every_layout_comes_back_in_every_element_type() {
        for (layout, shape) in [
            (Layout::Same, &[2, 3][..]),
            (Layout::Linear, &[2, 3]),
            (Layout::Conv, &[2, 3, 4, 5]),
            (Layout::ConvTranspose, &[2, 3, 4, 5]),
        ] {
            for dtype in DType::ALL {
                let here = counted(shape).convert(dtype);
                assert_eq!(layout.from_external(&layout.to_external(&here).unwrap()).unwrap(), here);
            }
        }
    }

    #[test]
    fn a_weight_of_other_dims_is_refused() {
        let error = Layout::Linear.to_external(&counted(&[3])).unwrap_err();
        assert_eq!(error.to_string(), "i32[3] is not a linear weight [in, out]");
        assert!(Layout::Conv.external_type(&TensorType::f32([3, 3])).is_err());
    }
}
