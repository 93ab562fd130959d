//! Convolutions over any number of spatial dims.

use ndarray::{ArrayD, Dimension, IxDyn};
use twinflow_array::{DType, Shape, TensorType};

use super::{conv_config::ConvConfig, depthwise, prelude::*};
use crate::stablehlo::signature;

/// `y[n, i.., g o] = sum over k.., c of x[n, i stride + k dilation - padding, g c] w[k.., c, g o]`, g the group.
///
/// x is NHWC, the kernel w HWIO, y NHWC (with as many dims in place of HW as there are); the kernel is not flipped.
#[derive(Clone, Debug, PartialEq)]
pub struct Convolution {
    /// How the kernel moves.
    pub config: ConvConfig,
    /// Multiply in this type and sum in the operands', as in [`DotGeneral`](super::dot_general::DotGeneral); `None`: the
    /// operands' type.
    pub compute: Option<DType>,
}

/// The length with `dilation - 1` zeros between neighbours.
fn dilated(size: usize, dilation: usize) -> i64 {
    if size == 0 { 0 } else { ((size - 1) * dilation + 1) as i64 }
}

impl Convolution {
    fn spatial(&self) -> usize {
        self.config.strides.len()
    }

    /// The lengths along spatial dim i with their dilations: input, kernel.
    fn extents(&self, i: usize, x: &[usize], w: &[usize]) -> [i64; 2] {
        [dilated(x[1 + i], self.config.lhs_dilation[i]), dilated(w[i], self.config.rhs_dilation[i])]
    }

    fn output_size(&self, i: usize, x: &[usize], w: &[usize]) -> usize {
        let [input, kernel] = self.extents(i, x, w);
        let (low, high) = self.config.padding[i];
        let room = input + low + high - kernel;
        if room < 0 { 0 } else { room as usize / self.config.strides[i] + 1 }
    }

    /// A convolution of the same kind, whatever policy is in effect where a derivative is taken.
    fn apply<'t>(&self, x: Tensor<'t>, w: Tensor<'t>, config: ConvConfig) -> Tensor<'t> {
        x.apply(Convolution { config, compute: self.compute }, [x, w])
    }

    /// `x_bar`: y_bar, spread by the strides, convolved with the flipped kernel whose channels change places.
    fn input_cotangent<'t>(&self, x: Tensor<'t>, w: Tensor<'t>, y_bar: Tensor<'t>) -> Tensor<'t> {
        let (x_shape, w_shape, y_shape) = (x.shape(), w.shape(), y_bar.shape());
        let padding = (0..self.spatial()).map(|i| {
            let [input, kernel] = self.extents(i, &x_shape, &w_shape);
            let low = kernel - 1 - self.config.padding[i].0;
            (low, input + kernel - 1 - dilated(y_shape[1 + i], self.config.strides[i]) - low)
        });
        let config = ConvConfig {
            strides: self.config.lhs_dilation.clone(),
            padding: padding.collect(),
            lhs_dilation: self.config.strides.clone(),
            ..self.config.clone()
        };
        let flipped: Vec<isize> = (0..self.spatial() as isize).collect();
        self.apply(y_bar, exchange_channels(w, self.config.groups).reverse(&flipped), config)
    }

    /// `w_bar`: x convolved with y_bar as its kernel, the batch taking the channels' part.
    fn kernel_cotangent<'t>(&self, x: Tensor<'t>, w: Tensor<'t>, y_bar: Tensor<'t>) -> Tensor<'t> {
        let (x_shape, w_shape, y_shape) = (x.shape(), w.shape(), y_bar.shape());
        let padding = (0..self.spatial()).map(|i| {
            let [input, kernel] = self.extents(i, &x_shape, &w_shape);
            let low = self.config.padding[i].0;
            (low, dilated(y_shape[1 + i], self.config.strides[i]) - input + kernel - low - 1)
        });
        let config = ConvConfig {
            strides: self.config.rhs_dilation.clone(),
            padding: padding.collect(),
            rhs_dilation: self.config.strides.clone(),
            ..self.config.clone()
        };
        let batch_inside = self.batch_inside();
        let kernel = y_bar.transpose(&batch_inside);
        let w_bar = self.apply(batch_to_channels(x, self.config.groups), kernel, config);
        // c, kernel.., o -> kernel.., c, o.
        w_bar.transpose(&batch_inside)
    }

    /// `w_bar` of one group, with y_bar as the input and x as its kernel, which gives it backwards. XLA prefers the
    /// smaller kernel too, but reverses the window, and its CPU code runs those in plain loops, a hundred times slower.
    fn kernel_cotangent_backwards<'t>(&self, x: Tensor<'t>, w: Tensor<'t>, y_bar: Tensor<'t>) -> Tensor<'t> {
        let (x_shape, w_shape, y_shape) = (x.shape(), w.shape(), y_bar.shape());
        let padding = (0..self.spatial()).map(|i| {
            let [input, kernel] = self.extents(i, &x_shape, &w_shape);
            let low = self.config.padding[i].0;
            (kernel - low - 1, input + low - dilated(y_shape[1 + i], self.config.strides[i]))
        });
        let config = ConvConfig {
            strides: self.config.rhs_dilation.clone(),
            padding: padding.collect(),
            lhs_dilation: self.config.strides.clone(),
            rhs_dilation: self.config.lhs_dilation.clone(),
            groups: 1,
        };
        let kernel = x.transpose(&self.batch_inside());
        let backwards = self.apply(batch_to_channels(y_bar, 1), kernel, config);
        let pixels: Vec<isize> = (1..=self.spatial() as isize).collect();
        // o, kernel.., c -> kernel.., c, o.
        let order: Vec<usize> = (1..self.spatial() + 2).chain([0]).collect();
        backwards.reverse(&pixels).transpose(&order)
    }

    fn is_depthwise(&self, x: &[usize], w: &[usize]) -> bool {
        depthwise::is_depthwise(&self.config, x, w)
    }

    /// The order of dims that puts the first one before the last.
    fn batch_inside(&self) -> Vec<usize> {
        (1..=self.spatial()).chain([0, self.spatial() + 1]).collect()
    }
}

/// `[k.., c, g o] -> [k.., o, g c]`.
fn exchange_channels(w: Tensor<'_>, groups: usize) -> Tensor<'_> {
    let shape = w.shape();
    let (spatial, channels) = shape.split_at(shape.rank() - 2);
    let (c, o) = (channels[0], channels[1] / groups);
    let n = spatial.len();
    let order: Vec<usize> = (0..n).chain([n + 2, n + 1, n]).collect();
    let split = w.reshape([spatial, &[c, groups, o]].concat()).transpose(&order);
    split.reshape([spatial, &[o, groups * c]].concat())
}

/// `[n, i.., g c] -> [c, i.., g n]`.
fn batch_to_channels(x: Tensor<'_>, groups: usize) -> Tensor<'_> {
    let shape = x.shape();
    let last = shape.rank() - 1;
    let (batch, spatial, c) = (shape[0], &shape[1..last], shape[last] / groups);
    let split = x.reshape([&shape[..last], &[groups, c]].concat());
    let order: Vec<usize> = [last + 1].into_iter().chain(1..last).chain([last, 0]).collect();
    split.transpose(&order).reshape([&[c], spatial, &[groups * batch]].concat())
}

impl Primitive<2> for Convolution {
    const NAME: &'static str = "convolution";
    const PROPERTIES: Properties = Properties::SAVE;

    fn infer(&self, [x, w]: [&TensorType; 2]) -> Result<TensorType, TypeError> {
        let ConvConfig { strides, padding, lhs_dilation, rhs_dilation, groups } = &self.config;
        if x.dtype != w.dtype {
            return Err(TypeError::DTypes(x.clone(), w.clone()));
        }
        let spatial = self.spatial();
        let lengths = [padding.len(), lhs_dilation.len(), rhs_dilation.len()] == [spatial; 3];
        x.require(lengths, || format!("strides, padding and dilations differ in length: {:?}", self.config))?;
        let steps = [strides, lhs_dilation, rhs_dilation].into_iter().flatten().all(|&step| step > 0) && *groups > 0;
        x.require(steps, || format!("strides, dilations and groups start at 1: {:?}", self.config))?;
        let ranks = [x.shape.rank(), w.shape.rank()] == [spatial + 2; 2];
        x.require(ranks, || format!("a convolution over {spatial} dims takes {} dims, kernel {w}", spatial + 2))?;
        let (inputs, outputs) = (w.shape[spatial], w.shape[spatial + 1]);
        let channels = x.shape[spatial + 1] == inputs * groups && outputs % groups == 0;
        x.require(channels, || format!("the channels do not fit {groups} groups of the kernel {w}"))?;
        let sizes = (0..spatial).map(|i| self.output_size(i, &x.shape, &w.shape));
        Ok(x.with_shape([x.shape[0]].into_iter().chain(sizes).chain([outputs]).collect::<Shape>()))
    }

    fn lower(&self, [x, w]: [Value; 2], ty: &TensorType, block: &mut Block) -> Value {
        let ConvConfig { strides, padding, lhs_dilation, rhs_dilation, groups } = &self.config;
        let spatial: Vec<String> = (0..self.spatial()).map(|i| i.to_string()).collect();
        let spatial = spatial.join(", ");
        let padding: Vec<[i64; 2]> = padding.iter().map(|&(low, high)| [low, high]).collect();
        let attributes = format!(
            " dim_numbers = [b, {spatial}, f]x[{spatial}, i, o]->[b, {spatial}, f], window = {{stride = {strides:?}, \
             pad = {padding:?}, lhs_dilate = {lhs_dilation:?}, rhs_dilate = {rhs_dilation:?}}} \
             {{batch_group_count = 1 : i64, feature_group_count = {groups} : i64}}"
        );
        let shifted = block.products().for_cpu && self.is_depthwise(&x.ty.shape, &w.ty.shape);
        block.product([x, w], self.compute, ty, |[x, w], ty, block| {
            if shifted {
                return depthwise::lower(&self.config, [&x, &w], ty, block);
            }
            let types = signature(&[&x, &w], std::slice::from_ref(ty));
            block.emit(&format!("stablehlo.convolution({}, {}){attributes} : {types}", x.name, w.name), ty)
        })
    }

    fn vjp<'t>(&self, [x, w]: [Tensor<'t>; 2], _: Tensor<'t>, y_bar: Tensor<'t>) -> [Option<Tensor<'t>>; 2] {
        let pixels = |tensor: Tensor<'t>| tensor.shape()[1..=self.spatial()].iter().product::<usize>();
        let w_bar = if self.is_depthwise(&x.shape(), &w.shape()) {
            depthwise::kernel_cotangent(&self.config, x, w, y_bar)
        } else if self.config.groups == 1 && pixels(y_bar) > pixels(x) {
            self.kernel_cotangent_backwards(x, w, y_bar)
        } else {
            self.kernel_cotangent(x, w, y_bar)
        };
        [Some(self.input_cotangent(x, w, y_bar)), Some(w_bar)]
    }

    fn jvp<'t>(
        &self,
        [x, w]: [Tensor<'t>; 2],
        _: Tensor<'t>,
        [x_dot, w_dot]: [Option<Tensor<'t>>; 2],
    ) -> Option<Tensor<'t>> {
        let conv = |x: Tensor<'t>, w: Tensor<'t>| self.apply(x, w, self.config.clone());
        add_some([x_dot.map(|x_dot| conv(x_dot, w)), w_dot.map(|w_dot| conv(x, w_dot))])
    }

    fn eval(&self, [x, w]: [&ArrayD<f64>; 2], ty: &TensorType) -> ArrayD<f64> {
        let spatial = self.spatial();
        let (channels, outputs) = (w.shape()[spatial], w.shape()[spatial + 1] / self.config.groups);
        let mut y = ArrayD::zeros(ty.shape.to_vec());
        for (index, y) in y.indexed_iter_mut() {
            let index = index.slice();
            let output = index[spatial + 1];
            for k in ndarray::indices(IxDyn(&w.shape()[..spatial])) {
                let places = (0..spatial).map(|i| self.place(i, index[1 + i], k[i], x.shape()[1 + i]));
                let Some(places) = places.collect::<Option<Vec<usize>>>() else { continue };
                for c in 0..channels {
                    let channel = output / outputs * channels + c;
                    let at = [&[index[0]], &places[..], &[channel]].concat();
                    *y += x[IxDyn(&at)] * w[IxDyn(&[k.slice(), &[c, output]].concat())];
                }
            }
        }
        y
    }

    /// A product and a sum for each element of the kernel that meets one of the input, padding left out.
    fn cost(&self, [x, w]: [&TensorType; 2], y: &TensorType) -> Cost {
        let meetings = (0..self.spatial()).map(|i| {
            let pairs = (0..y.shape[1 + i]).flat_map(|output| (0..w.shape[i]).map(move |k| (output, k)));
            pairs.filter(|&(output, k)| self.place(i, output, k, x.shape[1 + i]).is_some()).count()
        });
        let channels = w.shape[self.spatial()] * w.shape[self.spatial() + 1];
        Cost::moving([x, w, y]).with_products(x.shape[0] * channels * meetings.product::<usize>())
    }

    fn samples() -> Vec<Sample> {
        let sample = |config: ConvConfig, x: &[usize], w: &[usize]| {
            Sample::uniform(Convolution { config, compute: None }, [x, w], -1.0..1.0)
        };
        let two = ConvConfig::new(2);
        let uneven = ConvConfig {
            strides: vec![2, 1],
            padding: vec![(1, 0), (2, -1)],
            lhs_dilation: vec![1, 2],
            rhs_dilation: vec![2, 1],
            groups: 2,
        };
        let spread =
            ConvConfig { padding: vec![(2, 1), (1, 2)], lhs_dilation: vec![2, 3], groups: 1, ..uneven.clone() };
        vec![
            sample(two.clone().with_padding(1), &[2, 3, 2, 2], &[3, 3, 2, 1]),
            sample(two.clone().with_stride(2), &[1, 4, 5, 1], &[2, 2, 1, 2]),
            sample(uneven, &[1, 4, 2, 4], &[2, 3, 2, 4]),
            // One channel per group, each with a kernel of its own or with two.
            sample(two.clone().with_groups(3).with_padding(1), &[1, 2, 3, 3], &[3, 3, 1, 3]),
            sample(
                ConvConfig { padding: vec![(2, 1), (0, -1)], ..two.clone() }.with_groups(2),
                &[2, 3, 4, 2],
                &[2, 3, 1, 2],
            ),
            sample(two.with_groups(2).with_padding(1), &[1, 2, 3, 2], &[2, 2, 1, 4]),
            sample(ConvConfig::new(1).with_stride(3), &[2, 8, 2], &[2, 2, 3]),
            // More results than inputs, as transposed convolutions have.
            sample(spread, &[2, 3, 2, 2], &[2, 3, 2, 1]),
        ]
    }
}

impl Convolution {
    /// The input's index along spatial dim i that element `k` of the kernel sees at `output`, if it is inside.
    fn place(&self, i: usize, output: usize, k: usize, size: usize) -> Option<usize> {
        let stretched = (output * self.config.strides[i] + k * self.config.rhs_dilation[i]) as i64;
        let position = usize::try_from(stretched - self.config.padding[i].0).ok()?;
        let dilation = self.config.lhs_dilation[i];
        (position % dilation == 0 && position / dilation < size).then_some(position / dilation)
    }
}
