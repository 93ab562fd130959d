//! How convolutions move over their input.

/// How the kernel moves over the input; one entry per spatial dim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvConfig {
    /// Steps of the kernel.
    pub strides: Vec<usize>,
    /// Zeros before and after the input (negative: cut off).
    pub padding: Vec<(i64, i64)>,
    /// The distance between neighbours of the input, zeros between them.
    pub lhs_dilation: Vec<usize>,
    /// The distance between the input's elements that neighbours of the kernel see.
    pub rhs_dilation: Vec<usize>,
    /// Blocks of channels that are convolved apart.
    pub groups: usize,
}

impl ConvConfig {
    /// Stride 1, no padding, no dilation, one group, for this number of spatial dims.
    pub fn new(spatial: usize) -> Self {
        ConvConfig {
            strides: vec![1; spatial],
            padding: vec![(0, 0); spatial],
            lhs_dilation: vec![1; spatial],
            rhs_dilation: vec![1; spatial],
            groups: 1,
        }
    }

    /// With this step along every dim.
    pub fn with_stride(mut self, stride: usize) -> Self {
        self.strides.fill(stride);
        self
    }

    /// The same padding before and after every dim.
    pub fn with_padding(mut self, padding: usize) -> Self {
        self.padding.fill((padding as i64, padding as i64));
        self
    }

    /// With channels in blocks.
    pub fn with_groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }
}
