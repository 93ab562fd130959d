//! Training on XLA: the method does what it is for, and devices make no difference.

mod devices;
mod one_step;
mod precision;
mod toy;
